"""Freezing, compared tensor by tensor with a trainer written by hand, and across resumes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from ultralytics.models import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer

from app.core.tasks import Task
from app.models.architectures import ARCHITECTURES
from tests.worker.trainer.customizations.in_process import (
    Training,
    differing_tensors,
    next_attempt,
    train_by_hand,
    train_here,
)
from tests.worker.trainer.jobs import a_job
from worker.trainer.customizations.layers import ModelLayers
from worker.trainer.errors import BadSpec
from worker.trainer.protocol import ArchitectureSource, JobFile
from worker.trainer.run import TrainerMixin

MODEL = "yolov8n.yaml"  # its layers 0 to 9 are the backbone, and its head (22) has a .dfl
BACKBONE = set(range(10))
FIXED = "model.22.dfl.conv.weight"
EPOCHS, FROZEN = 4, 2

State = dict[str, torch.Tensor]


class Snapshots(TrainerMixin):
    """Keeps the trained model's tensors (not the EMA's) by the number of completed epochs."""

    states: dict[int, State]

    def run_callbacks(self, event: str) -> None:
        super().run_callbacks(event)
        if event == "on_train_start":
            self.states = {self.start_epoch: self._state()}
        if event == "on_train_epoch_end":
            self.states[self.epoch + 1] = self._state()

    def _state(self) -> State:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


class FreezesByHand(DetectionTrainer):
    """A user's trainer, for `freeze=10`; it stays frozen if resumed after the second epoch."""

    def __init__(self, *, overrides: dict[str, object]) -> None:
        super().__init__(overrides=overrides)
        self.add_callback("on_train_epoch_start", unfreeze)


def unfreeze(trainer: DetectionTrainer) -> None:
    if trainer.epoch == FROZEN:
        model: Any = trainer.model
        for name, parameter in model.named_parameters():
            if ".dfl" not in name:
                parameter.requires_grad = True
        trainer.freeze_layer_names = [".dfl"]


@pytest.fixture(scope="module")
def job_of(
    drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., JobFile]:
    """Return a function that creates a job of four epochs, with or without a `freeze`."""

    def make(
        freeze: Mapping[str, object] | None,
        *,
        architecture: str | None = MODEL,
        epochs: int = EPOCHS,
    ) -> JobFile:
        return a_job(
            drawn("detect"),
            tmp_path_factory.mktemp("freezing"),
            train={"epochs": epochs},
            customize={"freeze": freeze},
            facts={"architecture": architecture},
            model=ArchitectureSource(name=MODEL),
        )

    return make


@pytest.fixture(scope="module")
def thawing(job_of: Callable[..., JobFile]) -> Training:
    """Train four epochs, with the backbone frozen in the first two."""
    job = job_of({"layers": "backbone", "epochs": FROZEN})
    return train_here(job, watching=(Snapshots,))


@pytest.fixture(scope="module")
def free(job_of: Callable[..., JobFile]) -> Training:
    """Train the first epoch without freezing."""
    return train_here(job_of(None, epochs=1), watching=(Snapshots,))


class TestFreezing:
    def test_freezing_trains_as_one_would_by_hand(
        self, thawing: Training, free: Training, tmp_path: Path
    ) -> None:
        by_hand = train_by_hand(FreezesByHand, thawing.job, tmp_path / "hand", freeze=10)

        thawing.assert_it_trained()
        assert thawing.rows == by_hand.rows
        assert differing_tensors(last_of(thawing), last_of(by_hand)) == []
        assert thawing.rows[0] != free.rows[0]

    def test_freezing_keeps_weights_and_statistics_bit_for_bit_in_its_epochs(
        self, thawing: Training
    ) -> None:
        changed = changes(thawing, 0, FROZEN)

        assert layers_of(changed) == {12, 15, 16, 18, 19, 21, 22}

    def test_frozen_tensors_all_move_from_the_next_epoch_on(self, thawing: Training) -> None:
        changed = changes(thawing, FROZEN, FROZEN + 1)

        backbone = {name for name in thawing.trainer.states[0] if layer(name) in BACKBONE}
        assert backbone - changed == set()

    def test_a_training_without_freezing_moves_everything_from_the_start(
        self, free: Training
    ) -> None:
        free.assert_it_trained()
        assert layers_of(changes(free, 0, 1)) >= BACKBONE
        assert free.of("notice") == []

    def test_freezing_reports_once_which_layers_learn_afterwards(self, thawing: Training) -> None:
        [notice] = thawing.of("notice")

        parameters = sum(
            parameter.numel()
            for name, parameter in thawing.trainer.model.named_parameters()
            if layer(name) in BACKBONE
        )
        assert notice.code == "layers_unfrozen"
        assert notice.data == {
            "epoch": FROZEN + 1,
            "layers": sorted(BACKBONE),
            "parameters": parameters,
        }

    @pytest.mark.slow
    def test_freezing_without_a_number_of_epochs_is_for_good(
        self, job_of: Callable[..., JobFile]
    ) -> None:
        frozen = train_here(job_of({"layers": 3, "epochs": None}, epochs=2), watching=(Snapshots,))

        frozen.assert_it_trained()
        assert layers_of(changes(frozen, 0, 2)).isdisjoint({0, 1, 2})
        assert layers_of(changes(frozen, 0, 2)) > {3}
        assert frozen.of("notice") == []

    @pytest.mark.slow
    def test_freezing_leaves_tensors_that_never_learn_to_ultralytics(
        self, job_of: Callable[..., JobFile]
    ) -> None:
        thawed = train_here(
            job_of({"layers": [0, 22], "epochs": 1}, epochs=2), watching=(Snapshots,)
        )

        assert layers_of(changes(thawed, 0, 1)).isdisjoint({0, 22})
        assert layers_of(changes(thawed, 1, 2)) > {0, 22}
        assert FIXED not in changes(thawed, 0, 2)
        learns = {
            name: each.requires_grad for name, each in thawed.trainer.model.named_parameters()
        }
        assert [name for name in learns if not learns[name]] == [FIXED]


class TestResumedFreezing:
    @pytest.mark.parametrize("done", [1, 2, 3], ids=["before", "at", "past"])
    @pytest.mark.slow
    def test_a_resumed_training_is_frozen_in_the_same_epochs(
        self, thawing: Training, done: int, tmp_path: Path
    ) -> None:
        job = next_attempt(thawing, tmp_path, epoch=done)

        resumed = train_here(job, watching=(Snapshots,))

        resumed.assert_it_trained()
        frozen_epochs = [
            epoch + 1
            for epoch in range(done, EPOCHS)
            if layers_of(changes(resumed, epoch, epoch + 1)).isdisjoint(BACKBONE)
        ]
        assert frozen_epochs == [epoch for epoch in (1, 2) if epoch > done]
        told = [notice.data["epoch"] for notice in resumed.of("notice")]
        assert told == [FROZEN + 1] * (done <= FROZEN)


class TestRefusals:
    @pytest.mark.parametrize(
        ("layers", "message"),
        [
            (
                [0, 23],
                "customize.freeze.layers names layer 23, but the model has the layers 0 to 22",
            ),
            (23, "customize.freeze.layers freezes every layer"),
        ],
        ids=["no such layer", "every layer"],
    )
    def test_freezing_of_an_unknown_model_is_refused_by_the_trainer(
        self, job_of: Callable[..., JobFile], layers: object, message: str
    ) -> None:
        job = job_of({"layers": layers, "epochs": 1}, architecture=None)

        with pytest.raises(BadSpec, match=message):
            train_here(job)


class TestBackbone:
    @pytest.mark.parametrize(
        ("name", "backbone"),
        [
            ("yolo26n.yaml", 11),
            ("yolo26n-seg.yaml", 11),
            ("yolo26n-sem.yaml", 11),
            ("yolo26n-cls.yaml", 10),
            ("yolo11n.yaml", 11),
            ("yolo11n-cls.yaml", 10),
            ("yolov8n.yaml", 10),
            ("yolov8n-pose.yaml", 10),
            ("yolov8n-cls.yaml", 9),
        ],
        ids=str,
    )
    def test_a_backbone_is_as_long_as_the_architecture_says(self, name: str, backbone: int) -> None:
        layers = ModelLayers.of(YOLO(name, verbose=False).model)

        known = ARCHITECTURES[name]
        assert layers == ModelLayers(total=known.layers, backbone=known.backbone_layers)
        assert layers.backbone == backbone


def last_of(training: Training) -> Path:
    """Return the stripped last.pt; our trainer writes it to a separate folder."""
    ours = training.directory / "final" / "last.pt"
    return ours if ours.exists() else training.directory / "weights" / "last.pt"


def changes(training: Training, before: int, after: int) -> set[str]:
    """Return the names of the tensors that differ between two numbers of completed epochs."""
    one, other = (training.trainer.states[epoch] for epoch in (before, after))
    return {name for name in one if not torch.equal(one[name], other[name])}


def layers_of(names: set[str]) -> set[int]:
    return {layer(name) for name in names}


def layer(name: str) -> int:
    return int(name.split(".")[1])
