"""Balanced class weights: Ultralytics' own `cls_pw`, for every task that reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.models.yolo.detect import DetectionTrainer

from app.core.tasks import Task
from tests.worker.trainer.customizations.combinations import branches
from tests.worker.trainer.customizations.in_process import (
    Training,
    differing_tensors,
    next_attempt,
    set_up_by_hand,
    set_up_here,
    train_by_hand,
    train_here,
)
from tests.worker.trainer.customizations.proving import verdict_of
from tests.worker.trainer.jobs import a_job
from worker.trainer.compose import TASK_TRAINERS
from worker.trainer.protocol import ArchitectureSource, JobFile
from worker.trainer.upstream import Untyped

POWER = 0.5
BALANCED = {"class_weights": {"mode": "balanced", "power": POWER}}
MODEL = "yolov8n.yaml"


@pytest.fixture(scope="module")
def balanced(drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Train a detector for two epochs with balanced weights."""
    training = train_here(a_balanced_job("detect", drawn, tmp_path_factory.mktemp("balanced")))
    training.assert_it_trained()
    return training


def a_balanced_job(task: Task, drawn: Callable[[Task], Path], directory: Path) -> JobFile:
    facts: dict[str, Any] = {
        "facts": {"architecture": MODEL},
        "model": ArchitectureSource(name=MODEL),
    }
    job: JobFile = a_job(
        drawn(task), directory, task=task, customize=BALANCED, **(facts if task == "detect" else {})
    )
    return job


def weights_in_loss(model: Untyped) -> list[torch.Tensor]:
    """Return the class factors in each branch of a criterion that the model creates."""
    return [
        each.ce.weight if hasattr(each, "ce") else each.class_weights.flatten()
        for each in branches(model.init_criterion())
    ]


class TestBalanced:
    def test_a_training_with_balanced_weights_equals_one_with_cls_pw(
        self, balanced: Training, tmp_path: Path
    ) -> None:
        by_hand = train_by_hand(DetectionTrainer, balanced.job, tmp_path / "hand", cls_pw=POWER)
        otherwise = train_by_hand(
            DetectionTrainer, balanced.job, tmp_path / "plain", cls_pw=1.0, epochs=1
        )

        assert balanced.rows == by_hand.rows
        assert balanced.rows[0]["train/cls_loss"] != otherwise.rows[0]["train/cls_loss"]
        assert differing_tensors(balanced.trainer.last, by_hand.trainer.last) == []

    @pytest.mark.parametrize(
        ("task", "dataset"),
        [
            ("segment", "segment"),
            ("pose", "pose"),
            ("obb", "obb"),
            ("semantic", "semantic"),
            pytest.param("semantic", "segment", id="semantic-polygons, which add a background"),
        ],
    )
    @pytest.mark.slow
    def test_balanced_weights_weigh_the_loss_of_every_task_as_cls_pw_does(
        self, task: Task, dataset: Task, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_balanced_job(task, drawn, tmp_path).model_copy(
            update={"dataset_path": drawn(dataset)}
        )

        ours = set_up_here(job)

        by_hand = set_up_by_hand(TASK_TRAINERS[task], job, tmp_path / "hand", cls_pw=POWER)
        found, expected = weights_in_loss(ours.model), weights_in_loss(by_hand.model)
        assert len(found) == len(expected) > 0
        assert all(map(torch.equal, found, expected))
        for weights in found:
            assert len(weights) == ours.data["nc"]
            assert float(weights.mean()) == pytest.approx(1.0)
            assert float(weights.max()) > float(weights.min())
        assert torch.equal(ours.model.class_weights, ours.ema.ema.class_weights)

    def test_balanced_weights_follow_the_formula_of_the_docs(self, balanced: Training) -> None:
        counts = balanced.trainer.get_class_counts()
        powered = (1 / counts) ** POWER

        [weights] = weights_in_loss(balanced.trainer.model)

        assert len(set(counts)) > 1
        assert np.allclose(weights.numpy(), powered / powered.mean())

    @pytest.mark.slow
    def test_balanced_weights_weigh_again_after_a_resume(
        self, balanced: Training, tmp_path: Path
    ) -> None:
        resumed = set_up_here(next_attempt(balanced, tmp_path, epoch=1))

        assert resumed.start_epoch == 1
        [before], [after] = (weights_in_loss(each.model) for each in (balanced.trainer, resumed))
        assert torch.equal(after, before)

    @pytest.mark.slow
    def test_the_best_pt_of_balanced_weights_loads_safely_without_trainyard(
        self, balanced: Training, tmp_path: Path
    ) -> None:
        proven = verdict_of([balanced.trainer.best], tmp_path)

        assert proven.failure is None
        assert proven.checks["best.pt"].safe_load
