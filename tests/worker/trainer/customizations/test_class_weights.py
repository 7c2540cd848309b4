"""Class weights, compared with plain formulas and with a trainer that a user writes by hand."""

import pickletools
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from app.core.tasks import Task
from tests.worker.trainer.customizations.hand_written_weights import (
    IN_ORDER,
    WeightedByHand,
    WeightedModel,
    WeightedOtherwiseByHand,
)
from tests.worker.trainer.customizations.in_process import (
    Training,
    differing_tensors,
    next_attempt,
    set_up_here,
    train_by_hand,
    train_here,
)
from tests.worker.trainer.customizations.proving import verdict_of
from tests.worker.trainer.customizations.weighed_losses import (
    ASSERT_WEIGHS,
    assert_weighs_boxes,
    assert_weighs_images,
    assert_weighs_pixels,
)
from tests.worker.trainer.drawn_datasets import CLASSES, draw_dataset
from tests.worker.trainer.jobs import ARCHITECTURES, a_job
from worker.trainer.customizations.class_weights import weigh
from worker.trainer.errors import BadSpec
from worker.trainer.protocol import ArchitectureSource, JobFile
from worker.trainer.upstream import TaskTrainer, Untyped

pytestmark = pytest.mark.timeout(300)

# The same weights as IN_ORDER: triangle keeps the default of 1.0.
EXPLICIT = {"mode": "explicit", "weights": {"disc": 4.0, "square": 0.5}}
DETECTORS = ("yolo26n.yaml", pytest.param("yolov8n.yaml", marks=pytest.mark.slow))
SUFFIXES: dict[Task, str] = {"detect": "", "segment": "-seg", "pose": "-pose", "obb": "-obb"}
QUICK_BOXES = {*(f"yolo26n{suffix}.yaml" for suffix in SUFFIXES.values()), "yolov8n.yaml"}
BOXES = [
    pytest.param(
        *(task, f"{family}{suffix}.yaml"),
        marks=() if f"{family}{suffix}.yaml" in QUICK_BOXES else pytest.mark.slow,
    )
    for family in ("yolo26n", "yolo11n", "yolov8n")
    for task, suffix in SUFFIXES.items()
]
Draws = Callable[[Task], Path]


def a_weighted_job(
    dataset: Path,
    directory: Path,
    *,
    class_weights: Mapping[str, object] | None = EXPLICIT,
    architecture: str | None = None,
    **options: Untyped,
) -> JobFile:
    customize = None if class_weights is None else {"class_weights": class_weights}
    if architecture is not None:
        options["model"] = ArchitectureSource(name=architecture)
    return a_job(dataset, directory, customize=customize, **options)


def a_batch(trainer: Untyped) -> dict[str, Any]:
    return dict(trainer.preprocess_batch(next(iter(trainer.train_loader))))


class KeepsABatch(TaskTrainer):
    kept: dict[str, Any]

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.kept = super().preprocess_batch(batch)
        return self.kept


class LosesItsLoss(KeepsABatch):
    """Makes a loss of the second epoch NaN, once."""

    epoch: int
    loss: torch.Tensor
    lost = False

    def run_callbacks(self, event: str) -> None:
        super().run_callbacks(event)
        if event == "on_train_epoch_end" and self.epoch == 1 and not self.lost:
            self.lost = True
            self.loss = self.loss * float("nan")


@pytest.fixture(scope="module")
def weighted(drawn: Draws, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Training]:
    """Return a function that returns a task's finished training: two epochs with weights."""
    trainings: dict[str, Training] = {}

    def training_of(task: Task = "detect", architecture: str | None = None) -> Training:
        name = architecture or ARCHITECTURES[task]
        if name not in trainings:
            directory = tmp_path_factory.mktemp(f"weighted-{name}")
            job = a_weighted_job(drawn(task), directory, task=task, architecture=name)
            trainings[name] = train_here(job)
            trainings[name].assert_it_trained()
        return trainings[name]

    return training_of


def classes_pickled_in(weights: Path) -> set[str]:
    """Return the packages whose classes a checkpoint requires."""
    with zipfile.ZipFile(weights) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        operations = list(pickletools.genops(archive.read(name)))
    return {str(arg).partition(".")[0] for op, arg, _ in operations if op.name == "GLOBAL"}


def lines_with_few_triangles(labels: Path) -> list[str]:
    """Remove the triangles from all label files but four; return the lines of all files."""
    lines: list[str] = []
    for number, file in enumerate(sorted(labels.glob("*.txt"))):
        kept = [line for line in file.read_text().splitlines() if number < 4 or line[0] != "2"]
        file.write_text("".join(f"{line}\n" for line in kept))
        lines += kept
    return lines


class TestTheLoss:
    @pytest.mark.parametrize(("task", "architecture"), BOXES, ids=lambda value: value)
    def test_class_weights_weigh_the_positive_term_of_each_branch_and_nothing_else(
        self, drawn: Draws, tmp_path: Path, task: Task, architecture: str
    ) -> None:
        job = a_weighted_job(drawn(task), tmp_path, task=task, architecture=architecture)

        trainer = set_up_here(job)

        assert_weighs_boxes(trainer.model, a_batch(trainer), IN_ORDER)

    def test_the_loss_of_classify_is_divided_by_the_sum_of_the_weights_used(
        self, drawn: Draws, tmp_path: Path
    ) -> None:
        trainer = set_up_here(a_weighted_job(drawn("classify"), tmp_path, task="classify"))

        assert_weighs_images(trainer.model, a_batch(trainer), IN_ORDER)

    @pytest.mark.parametrize(
        ("dataset", "weights"),
        [
            pytest.param("semantic", IN_ORDER, id="masks"),
            pytest.param("segment", [*IN_ORDER, 1.0], id="polygons, which add a background"),
        ],
    )
    def test_the_loss_of_semantic_weighs_pixels_but_not_the_dice_term(
        self, drawn: Draws, tmp_path: Path, dataset: Task, weights: Sequence[float]
    ) -> None:
        trainer = set_up_here(a_weighted_job(drawn(dataset), tmp_path, task="semantic"))

        assert_weighs_pixels(trainer.model, a_batch(trainer), weights)

    def test_class_weights_are_refused_for_a_plugin_whose_class_loss_is_unknown(self) -> None:
        with pytest.raises(BadSpec, match="MSELoss"):
            weigh(torch.nn.MSELoss(), torch.ones(3))


class TestAgainstATrainerWrittenByHand:
    @pytest.mark.parametrize("architecture", DETECTORS)
    def test_losses_metrics_and_weights_equal_those_of_a_trainer_written_by_hand(
        self, weighted: Callable[..., Training], tmp_path: Path, architecture: str
    ) -> None:
        ours = weighted("detect", architecture)

        by_hand = train_by_hand(WeightedByHand, ours.job, tmp_path)

        assert ours.rows == by_hand.rows
        assert differing_tensors(ours.trainer.last, by_hand.trainer.last) == []

    @pytest.mark.slow
    def test_another_weight_gives_other_losses_and_weights(
        self, weighted: Callable[..., Training], tmp_path: Path
    ) -> None:
        ours = weighted("detect", "yolov8n.yaml")

        by_hand = train_by_hand(WeightedOtherwiseByHand, ours.job, tmp_path)

        for column in ("train/cls_loss", "val/cls_loss"):
            assert ours.rows[0][column] != by_hand.rows[0][column]
        assert differing_tensors(ours.trainer.last, by_hand.trainer.last) != []


class TestResuming:
    @pytest.mark.parametrize(
        ("task", "architecture"),
        [
            ("detect", "yolo26n.yaml"),
            ("detect", "yolov8n.yaml"),
            ("classify", "yolo26n-cls.yaml"),
            ("semantic", "yolo26n-sem.yaml"),
        ],
    )
    @pytest.mark.slow
    def test_a_resume_weighs_the_losses_of_training_and_of_validation_again(
        self, weighted: Callable[..., Training], tmp_path: Path, task: Task, architecture: str
    ) -> None:
        killed = next_attempt(weighted(task, architecture), tmp_path, epoch=1)

        resumed = set_up_here(killed)

        assert resumed.start_epoch == 1
        batch = a_batch(resumed)
        for model in (resumed.model, resumed.ema.ema):
            ASSERT_WEIGHS[task](model, batch, IN_ORDER)

    @pytest.mark.slow
    def test_a_resume_continues_with_class_weights(
        self, weighted: Callable[..., Training], tmp_path: Path
    ) -> None:
        killed = next_attempt(weighted("detect", "yolo26n.yaml"), tmp_path / "a", epoch=1)
        without = next_attempt(weighted("detect", "yolo26n.yaml"), tmp_path / "b", epoch=1)
        unweighted = without.spec.model_copy(update={"class_weights": None})

        resumed = train_here(killed, watching=(KeepsABatch,))
        otherwise = train_here(without.model_copy(update={"spec": unweighted}))

        resumed.assert_it_trained()
        assert_weighs_boxes(resumed.trainer.model, resumed.trainer.kept, IN_ORDER)
        first, second = resumed.rows[-1], otherwise.rows[-1]
        assert first["epoch"] == second["epoch"] == "2"
        assert first["train/cls_loss"] != second["train/cls_loss"]

    @pytest.mark.slow
    def test_a_recovery_from_nan_keeps_the_class_weights(
        self, drawn: Draws, tmp_path: Path
    ) -> None:
        job = a_weighted_job(drawn("detect"), tmp_path, architecture="yolov8n.yaml")

        training = train_here(job, watching=(LosesItsLoss,))

        assert training.trainer.lost
        assert [event.code for event in training.of("warning")] == ["nan_recovered"]
        for model in (training.trainer.model, training.trainer.ema.ema):
            assert_weighs_boxes(model, training.trainer.kept, IN_ORDER)


class TestTheCheckpoint:
    @pytest.mark.parametrize(
        "task",
        [
            "detect",
            *(pytest.param(each, marks=pytest.mark.slow) for each in ("classify", "semantic")),
        ],
    )
    def test_a_checkpoint_with_class_weights_needs_no_class_of_ours(
        self, weighted: Callable[..., Training], task: Task
    ) -> None:
        directory = weighted(task).directory

        for weights in (directory / "weights" / "best.pt", *directory.rglob("*.pt")):
            assert classes_pickled_in(weights).isdisjoint({"app", "tests", "worker"}), weights

    def test_a_checkpoint_of_a_model_class_of_ones_own_needs_that_class(
        self, tmp_path: Path
    ) -> None:
        model = WeightedModel("yolov8n.yaml", nc=3, verbose=False)  # type: ignore[no-untyped-call] # Ultralytics is untyped
        torch.save({"model": model}, tmp_path / "a.pt")

        assert "tests" in classes_pickled_in(tmp_path / "a.pt")

    @pytest.mark.slow
    def test_a_checkpoint_with_class_weights_loads_safely_without_trainyard(
        self, weighted: Callable[..., Training], tmp_path: Path
    ) -> None:
        best = weighted("detect").trainer.best

        proven = verdict_of([best], tmp_path).checks["best.pt"]

        assert (proven.loads, proven.forward, proven.safe_load) == (True, True, True)


class TestInverseFrequency:
    def test_inverse_frequency_weighs_by_the_labels_of_the_training_files(
        self, tmp_path: Path
    ) -> None:
        dataset = draw_dataset(tmp_path, "detect")
        lines = lines_with_few_triangles(dataset / "labels" / "train")
        counts = Counter(CLASSES[int(line.split()[0])] for line in lines)
        inverse = [max(counts.values()) / counts[name] for name in CLASSES]
        job = a_weighted_job(
            dataset,
            tmp_path,
            architecture="yolov8n.yaml",
            class_weights={"mode": "inverse_frequency"},
            facts={"class_counts": counts},
        )

        trainer = set_up_here(job)

        assert list(trainer.get_class_counts()) == [counts[name] for name in CLASSES]
        assert max(inverse) > 5
        assert trainer.model.criterion.bce.pos_weight.tolist() == pytest.approx(inverse)
        assert [event for event in trainer.run.pipe.events if event.type == "warning"] == []

    @pytest.mark.parametrize("task", ["detect", "classify", "semantic"])
    def test_inverse_frequency_warns_of_a_class_that_no_training_label_has(
        self, tmp_path: Path, task: Task
    ) -> None:
        classes = (*CLASSES, "ghost")
        dataset = draw_dataset(tmp_path, task, classes=CLASSES if task == "classify" else classes)
        if task == "classify":
            for split in ("train", "val"):
                (dataset / split / "ghost").mkdir()
        job = a_weighted_job(
            dataset,
            tmp_path,
            task=task,
            class_weights={"mode": "inverse_frequency"},
            facts={"classes": classes, "class_counts": dict(zip(CLASSES, (3, 2, 1), strict=True))},
        )

        trainer = set_up_here(job)

        warnings = [event for event in trainer.run.pipe.events if event.type == "warning"]
        assert [event.code for event in warnings] == ["class_without_labels"]
        assert '"ghost"' in warnings[0].message

    def test_inverse_frequency_does_not_warn_of_classes_that_ultralytics_renames(
        self, tmp_path: Path
    ) -> None:
        codes = ("n01440764", "n01443537", "n01484850")
        job = a_weighted_job(
            draw_dataset(tmp_path, "detect", classes=codes),
            tmp_path,
            class_weights={"mode": "inverse_frequency"},
            facts={"classes": codes, "class_counts": dict.fromkeys(codes, 7)},
        )

        trainer = set_up_here(job)

        assert "n01440764" not in trainer.data["names"].values()
        assert [event for event in trainer.run.pipe.events if event.type == "warning"] == []
