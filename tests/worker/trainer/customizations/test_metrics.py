from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.utils.metrics import (
    ConfusionMatrix,
    DetMetrics,
    PoseMetrics,
    SegmentMetrics,
    SemanticMetrics,
)

from app.core.tasks import Task
from app.jobs.spec.metric_table import F1_METRICS
from tests.worker.trainer.customizations.in_process import Training, train_here
from tests.worker.trainer.drawn_datasets import CLASSES, draw_dataset
from tests.worker.trainer.jobs import a_job
from worker.trainer.customizations.metrics import class_columns, mean_f1
from worker.trainer.upstream import Untyped

NAMES = dict(enumerate(("disc", "square", "triangle", "star")))
FEW = {"epochs": 1, "imgsz": 32}


def counted(metrics: DetMetrics, *, truths: int, seen: int = 40, missed: int = 2) -> Untyped:
    """Return a validator with real metrics that have counted drawn detections.

    Class 3 has no ground truth, and class `missed` no correct detection.
    """
    random = np.random.default_rng(0)
    target = random.integers(0, 3, truths)
    predicted = random.integers(0, 4, seen)
    stats = {
        "conf": random.random(seen),
        "pred_cls": predicted,
        "target_cls": target,
        "target_img": np.unique(target),
        "im_name": "drawn.png",
    }
    for name in {"tp", "tp_m", "tp_p"} & metrics.stats.keys():
        share = random.random((seen, 1)) > np.linspace(0.3, 0.9, 10)
        stats[name] = share & (predicted != missed)[:, None] & (truths > 0)
    metrics.update_stats(stats)
    metrics.process()
    return SimpleNamespace(metrics=metrics)


def confused(matrix: list[list[int]], metrics: object) -> Untyped:
    """Return a validator with this confusion matrix: rows are predictions, columns truths."""
    confusion = ConfusionMatrix(names=NAMES, task="classify")
    confusion.matrix = np.array(matrix)
    return SimpleNamespace(metrics=metrics, confusion_matrix=confusion)


class TestClassColumnsOfBoxes:
    def test_class_columns_have_the_order_of_the_dataset_and_null_for_a_class_without_truth(
        self,
    ) -> None:
        validator = counted(DetMetrics(NAMES), truths=30)

        columns = class_columns(validator, classes=4)

        assert set(columns) == {"precision(B)", "recall(B)", "f1(B)", "ap50(B)", "ap50_95(B)"}
        assert all(column[3] is None and None not in column[:3] for column in columns.values())
        assert columns["ap50_95(B)"][:3] == pytest.approx(list(validator.metrics.maps[:3]))

    def test_f1_is_the_harmonic_mean_of_the_precision_and_recall_beside_it(self) -> None:
        columns = class_columns(counted(DetMetrics(NAMES), truths=30), classes=4)

        for precision, recall, f1 in zip(
            columns["precision(B)"][:2], columns["recall(B)"][:2], columns["f1(B)"][:2], strict=True
        ):
            assert precision
            assert recall
            assert f1 == pytest.approx(2 * precision * recall / (precision + recall))

    def test_a_class_that_is_missed_altogether_has_zero(self) -> None:
        columns = class_columns(counted(DetMetrics(NAMES), truths=30), classes=4)

        assert [columns[name][2] for name in ("recall(B)", "f1(B)", "ap50(B)")] == [0, 0, 0]

    @pytest.mark.parametrize(
        "validator",
        [
            pytest.param(counted(DetMetrics(NAMES), truths=0), id="no-ground-truth"),
            pytest.param(SimpleNamespace(metrics=DetMetrics(NAMES)), id="nothing-validated"),
        ],
    )
    def test_class_columns_are_null_where_nothing_has_ground_truth(
        self, validator: Untyped
    ) -> None:
        columns = class_columns(validator, classes=4)

        assert all(column == [None] * 4 for column in columns.values())

    @pytest.mark.parametrize(
        ("metrics", "part"),
        [(SegmentMetrics, "M"), (PoseMetrics, "P")],
        ids=["masks", "key-points"],
    )
    def test_class_columns_of_masks_and_keypoints_are_beside_those_of_boxes(
        self, metrics: type[DetMetrics], part: str
    ) -> None:
        columns = class_columns(counted(metrics(NAMES), truths=30), classes=4)

        assert len(columns) == 10
        assert columns["f1(B)"] != columns[f"f1({part})"]


class TestClassColumnsOfConfusion:
    MATRIX = ([5, 1, 0, 2], [1, 3, 0, 0], [0, 0, 0, 0], [2, 0, 4, 0])

    def test_class_columns_of_classify_are_those_of_the_most_likely_class(self) -> None:
        validator = confused([list(row) for row in self.MATRIX], SimpleNamespace())

        columns = class_columns(validator, classes=4)

        assert columns == {
            "precision": pytest.approx([5 / 8, 3 / 4, 0, 0]),
            "recall": pytest.approx([5 / 8, 3 / 4, 0, 0]),
            "f1": pytest.approx([5 / 8, 3 / 4, 0, 0]),
        }

    def test_a_class_without_images_has_none(self) -> None:
        matrix = [[3, 1, 0], [1, 1, 0], [0, 2, 0]]

        columns = class_columns(confused(matrix, SimpleNamespace()), classes=3)

        assert columns["precision"] == [3 / 4, 1 / 2, None]
        assert columns["recall"] == [3 / 4, 1 / 4, None]

    def test_class_columns_of_semantic_follow_from_the_iou_without_an_added_background(
        self,
    ) -> None:
        validator = segmented(names=3, seed=1)
        iou = validator.metrics.per_class_iou

        columns = class_columns(validator, classes=2)

        assert columns["iou"] == pytest.approx(iou[:2].tolist())
        assert columns["f1"] == pytest.approx((2 * iou / (1 + iou))[:2].tolist())

    def test_class_columns_of_a_single_semantic_class_are_those_of_the_foreground(self) -> None:
        validator = segmented(names=1, seed=1)

        columns = class_columns(validator, classes=1)

        assert columns["iou"] == pytest.approx(validator.metrics.per_class_iou.tolist())


def segmented(*, names: int, seed: int) -> Untyped:
    torch.manual_seed(seed)
    metrics: Any = SemanticMetrics({index: NAMES[index] for index in range(names)})
    shape, kinds = (2, 8, 8), max(names, 2)
    metrics.update_stats(torch.randint(kinds, shape), torch.randint(kinds, shape))
    metrics.process()
    matrix = metrics.matrix.numpy().T.astype(int)  # as SemanticSegmentationValidator.get_stats
    return confused(matrix.tolist(), metrics)


class TestMeanF1:
    def test_mean_f1_counts_a_missed_class_and_not_one_without_truth(self) -> None:
        validator = counted(DetMetrics(NAMES), truths=30)
        by_class = class_columns(validator, classes=4)["f1(B)"]

        mean = mean_f1(validator, ["metrics/F1(B)"], classes=4)

        assert mean == {"metrics/F1(B)": pytest.approx(sum(f1 or 0 for f1 in by_class) / 3)}

    def test_mean_f1_is_zero_where_nothing_has_ground_truth(self) -> None:
        validator = counted(DetMetrics(NAMES), truths=0)

        assert mean_f1(validator, ["metrics/F1(B)"], classes=4) == {"metrics/F1(B)": 0}

    def test_mean_f1_is_named_after_the_part(self) -> None:
        validator = counted(SegmentMetrics(NAMES), truths=30)

        means = mean_f1(validator, F1_METRICS["segment"], classes=4)

        assert means["metrics/F1(B)"] != means["metrics/F1(M)"]


class TestClassMetrics:
    def test_class_metrics_equal_those_of_a_trainer_written_by_hand_in_every_epoch(
        self, ours: Training, by_hand: Training
    ) -> None:
        ours.assert_it_trained()

        assert ours.rows == by_hand.rows
        assert all(float(row["metrics/F1(B)"]) > 0 for row in ours.rows)

    def test_class_metrics_differ_from_a_mean_of_another_column(self, ours: Training) -> None:
        events = ours.of("epoch")

        assert events[0].classes.keys() >= {"f1(B)", "ap50(B)"}
        for event in events:
            mean = sum(event.classes["f1(B)"]) / len(CLASSES)
            assert event.metrics["metrics/F1(B)"] == pytest.approx(mean, abs=2e-5)
            assert event.metrics["metrics/F1(B)"] != pytest.approx(
                sum(event.classes["ap50(B)"]) / len(CLASSES), abs=2e-5
            )

    def test_class_metrics_are_in_the_final_evaluation_too(
        self, ours: Training, by_hand: Training
    ) -> None:
        (final,) = ours.of("final")

        expected = float(np.mean(by_hand.trainer.validator.metrics.box.f1))
        assert final.metrics["metrics/F1(B)"] == pytest.approx(expected)

    @pytest.mark.parametrize(
        "task",
        [
            "segment",
            "classify",
            "semantic",
            *(pytest.param(task, marks=pytest.mark.slow) for task in ("pose", "obb")),
        ],
    )
    @pytest.mark.slow
    def test_every_task_with_classes_has_its_own(self, task: Task, tmp_path: Path) -> None:
        customize = {"metrics": {"f1": True, "per_class": True}}
        job = a_job(
            draw_dataset(tmp_path, task), tmp_path, task=task, train=FEW, customize=customize
        )

        training = train_here(job)

        training.assert_it_trained()
        (epoch,), (final,) = training.of("epoch"), training.of("final")
        names = set(F1_METRICS[task])
        assert names <= epoch.metrics.keys()
        by_hand = f1_by_hand(task, training.trainer.validator)
        assert {name: final.metrics[name] for name in names} == pytest.approx(by_hand)
        assert {name for name in epoch.classes if name.startswith("f1")} == {
            name.replace("metrics/F1", "f1") for name in names
        }
        assert all(len(column) == len(CLASSES) for column in epoch.classes.values())

    def test_the_background_that_polygons_add_to_a_semantic_dataset_is_no_class(
        self, tmp_path: Path
    ) -> None:
        job = a_job(
            draw_dataset(tmp_path, "segment"),
            tmp_path,
            task="semantic",
            train=FEW,
            customize={"metrics": {"f1": True, "per_class": True}},
        )

        training = train_here(job)

        training.assert_it_trained()
        (epoch,), (final,) = training.of("epoch"), training.of("final")
        metrics = training.trainer.validator.metrics
        iou = metrics.per_class_iou
        assert len(iou) == len(CLASSES) + 1
        assert all(len(column) == len(CLASSES) for column in epoch.classes.values())
        f1 = 2 * iou / (1 + iou)
        assert final.metrics["metrics/F1"] == pytest.approx(float(f1[: len(CLASSES)].mean()))
        assert final.metrics["metrics/F1"] != pytest.approx(float(f1.mean()))


def f1_by_hand(task: Task, validator: Untyped) -> dict[str, float]:
    """Return the mean F1, computed from the values that the task's validator offers."""
    if task == "classify":
        guessed, true = torch.cat(validator.pred)[:, 0], torch.cat(validator.targets)
        scores = []
        for kind in set(true.tolist()):
            hits = int(((guessed == kind) & (true == kind)).sum())
            errors = int(((guessed == kind) != (true == kind)).sum())
            scores.append(hits / (hits + errors / 2))
        return {"metrics/F1": sum(scores) / len(scores)}
    if task == "semantic":
        metrics = validator.metrics
        iou = metrics.per_class_iou[metrics.ap_class_index]
        return {"metrics/F1": float((2 * iou / (1 + iou)).mean())}
    attributes = {"segment": {"M": "seg"}, "pose": {"P": "pose"}}.get(task, {}) | {"B": "box"}
    return {
        f"metrics/F1({part})": float(np.mean(getattr(validator.metrics, attribute).f1))
        for part, attribute in attributes.items()
    }
