"""A run records every number of its plan, for every optimizer."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from ultralytics.optim import muon
from ultralytics.utils.torch_utils import unwrap_model

from app.core.tasks import Task
from app.jobs.plan.plan import TrainingData, plan_of
from app.jobs.plan.views import StoredPlan
from app.jobs.spec.job_spec import JobSpec, ResolvedSpec, SpecFacts, resolve_spec
from tests.jobs.planning import LIVE
from tests.worker.trainer.customizations.in_process import Training, train_here
from tests.worker.trainer.drawn_datasets import CLASSES, TRAIN_IMAGES, VAL_IMAGES
from tests.worker.trainer.jobs import ARCHITECTURES, DATASET_VERSION, a_job
from worker.trainer.customizations.layers import ModelLayers
from worker.trainer.protocol import JobFile
from worker.trainer.run import TrainerMixin

pytestmark = pytest.mark.integration

CLOSE: Final = 1e-5
"""results.csv rounds to six digits, and weights are float32 in the loss."""
TINY_AND_WARM: Final[dict[str, object]] = {
    "epochs": 3,
    "imgsz": 32,
    "batch": 4,
    "nbs": 4,
    "warmup_epochs": 1.0,
    "plots": False,
}
"""The plan includes the warm-up, so it is not switched off."""
FREEZE: Final = {"layers": "backbone", "epochs": 2}
FACTORS: Final = [{"layers": "backbone", "factor": 0.1}, {"layers": [0, 22, 23], "factor": 2.5}]
INVERSE: Final = {"mode": "inverse_frequency"}
BALANCED: Final = {"mode": "balanced", "power": 0.5}
ALL_THREE: Final = {"freeze": FREEZE, "layer_lrs": FACTORS, "class_weights": INVERSE}
Numbers = dict[str, float | str]


class Watching(TrainerMixin):
    """Records the trainer's actual values during the training."""

    watched: Numbers
    accumulate: int

    def run_callbacks(self, event: str) -> None:
        super().run_callbacks(event)
        if event == "on_train_start":
            self.watched = (
                dict(self._of_model()) | dict(self._of_optimizer()) | dict(self._of_loss())
            )
        if event == "on_train_batch_end":
            self._watch_what_learns()

    def _of_model(self) -> Iterator[tuple[str, float | str]]:
        for index, layer in enumerate(self._layers()):
            yield f"module/{index}", type(layer).__name__
            yield f"parameters/{index}", sum(each.numel() for each in layer.parameters())
        yield "parameters", sum(each.numel() for each in self.model.parameters())
        yield "backbone", ModelLayers.of(self.model).backbone
        yield "batches", len(self.train_loader)
        yield "accumulate", self.accumulate
        yield "images/train", len(self.train_loader.dataset)
        yield "images/val", len(self.test_loader.dataset)

    def _layers(self) -> Any:  # noqa: ANN401 -- a torch Sequential
        return unwrap_model(self.model).model

    def _of_optimizer(self) -> Iterator[tuple[str, float | str]]:
        yield "optimizer", type(self.optimizer).__name__
        yield "lr0", self.args.lr0
        groups = zip(self.rate_names, self.optimizer.param_groups, strict=True)
        for place, (name, group) in enumerate(groups):
            yield f"name/{place}", name
            yield f"tensors/{name}", len(group["params"])
            yield f"numbers/{name}", sum(each.numel() for each in group["params"])
            yield f"decay/{name}", group["weight_decay"]
            yield f"initial/{name}", group["initial_lr"]
            yield f"momentum/{name}", group["betas"][0] if "betas" in group else group["momentum"]

    def _of_loss(self) -> Iterator[tuple[str, float | str]]:
        model: Any = unwrap_model(self.model)
        criterion = getattr(model, "criterion", None)
        positive = None if criterion is None else criterion.one2many.bce.pos_weight
        weights = getattr(model, "class_weights", None) if positive is None else positive
        for index, weight in enumerate([] if weights is None else weights.tolist()):
            yield f"weight/{CLASSES[index]}", weight

    def _watch_what_learns(self) -> None:
        learning = [
            (index, sum(each.numel() for each in layer.parameters() if each.requires_grad))
            for index, layer in enumerate(self._layers())
        ]
        if self.epoch + 1 in {1, self.epochs}:
            self.watched[f"learning/{self.epoch + 1}"] = sum(numbers for _, numbers in learning)
        still = [index for index, numbers in learning if not numbers]
        self.watched[f"still/{self.epoch + 1}"] = str(still)


def recorded(training: Training) -> Numbers:
    """Return the numbers that a run used and reported, by name."""
    numbers: Numbers = dict(training.trainer.watched)
    epochs = training.of("epoch")
    numbers["steps"] = sum(event.optimizer_steps for event in epochs)
    for event in epochs:
        for name, rate in event.lr.items():
            numbers[f"rate/{event.epoch}/{name}"] = rate
    return numbers


def foretold(job: JobFile) -> Numbers:
    """Return the numbers of the job's plan, under the same names."""
    plan = plan_of(job.spec, job.spec, data_of(job), LIVE)
    return {
        **dict(_of_model(plan, job.spec)),
        **dict(_of_optimizer(plan, job.spec)),
        **dict(_of_extent(plan)),
        **{
            f"weight/{each.name}": each.weight
            for each in plan.classes.shown
            if each.weight is not None
        },
    }


def _of_model(plan: StoredPlan, spec: ResolvedSpec) -> Iterator[tuple[str, float | str]]:
    assert plan.model is not None
    for layer in plan.model.layers:
        yield f"module/{layer.index}", layer.module
        yield f"parameters/{layer.index}", layer.parameters
    yield "parameters", plan.model.parameters
    yield "backbone", plan.model.backbone_layers
    yield "learning/1", plan.model.trainable_at_start
    yield f"learning/{spec.train.epochs}", plan.model.trainable_at_end
    for epoch in range(1, spec.train.epochs + 1):
        still = [
            layer.index
            for layer in plan.model.layers
            if not layer.parameters or epoch <= (layer.frozen_until or 0)
        ]
        yield f"still/{epoch}", str(still)


def _of_optimizer(plan: StoredPlan, spec: ResolvedSpec) -> Iterator[tuple[str, float | str]]:
    optimizer = plan.optimizer
    yield "optimizer", optimizer.name
    yield "lr0", optimizer.lr0
    for place, group in enumerate(optimizer.groups):
        yield f"name/{place}", group.name
        yield f"tensors/{group.name}", group.tensors
        yield f"numbers/{group.name}", group.parameters
        yield f"decay/{group.name}", group.weight_decay or 0.0
        yield f"initial/{group.name}", group.initial_rate
        yield f"momentum/{group.name}", optimizer.momentum
        for epoch, rate in zip(optimizer.epochs_shown, group.rates or (), strict=True):
            yield f"rate/{epoch}/{group.name}", rate
    assert optimizer.epochs_shown == list(range(1, spec.train.epochs + 1))


def _of_extent(plan: StoredPlan) -> Iterator[tuple[str, float | str]]:
    extent = plan.extent
    assert extent.batches_per_epoch is not None
    assert extent.accumulate is not None
    assert extent.optimizer_steps is not None
    yield "batches", extent.batches_per_epoch
    yield "accumulate", extent.accumulate
    yield "steps", extent.optimizer_steps
    yield "images/train", extent.training_images
    yield "images/val", extent.validation_images


def differing(one: Numbers, other: Numbers) -> dict[str, tuple[object, object]]:
    """Return the numbers that differ or are in one only, with both values."""
    names = sorted(one.keys() | other.keys())
    pairs = {name: (one.get(name), other.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if not _is_close(*pair)}


def _is_close(one: float | str | None, other: float | str | None) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-9)
    return one == other


def labels_of(folder: Path) -> dict[str, int]:
    """Count the objects of each class in the labels of a split."""
    rows = (row for file in folder.glob("*.txt") for row in file.read_text().splitlines())
    counts = Counter(CLASSES[int(row.split()[0])] for row in rows)
    return {name: counts[name] for name in CLASSES}


def data_of(job: JobFile) -> TrainingData:
    """Return the facts that verification would find in the drawn dataset."""
    labels = {split: labels_of(job.dataset_path / "labels" / split) for split in ("train", "val")}
    return TrainingData(CLASSES, {"train": TRAIN_IMAGES, "val": VAL_IMAGES}, labels)


@dataclass(frozen=True)
class Case:
    """The settings of a case's job."""

    train: Mapping[str, object]
    customize: Mapping[str, object]

    def job(self, folder: Path, directory: Path) -> JobFile:
        """Return the job on a drawn dataset."""
        asked = JobSpec.model_validate(
            {
                "dataset": DATASET_VERSION,
                "model": ARCHITECTURES["detect"],
                "task": "detect",
                "train": TINY_AND_WARM | dict(self.train),
                "customize": dict(self.customize),
            }
        )
        facts = SpecFacts(
            DATASET_VERSION,
            "detect",
            classes=CLASSES,
            class_counts=labels_of(folder / "labels" / "train"),
            architecture=ARCHITECTURES["detect"],
        )
        return a_job(folder, directory, spec=resolve_spec(asked, facts))


def named(optimizer: str) -> Case:
    return Case({"optimizer": optimizer, "lr0": 0.002}, ALL_THREE)


CASES: Final[dict[str, Case]] = {
    **{
        f"{name}-all-three": named(name)
        for name in ("SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSProp")
    },
    "auto-all-three": Case({"optimizer": "auto"}, ALL_THREE),
    "MuSGD-plain": Case({"optimizer": "MuSGD"}, {}),
    "SGD-balanced-cosine": Case(
        {
            "optimizer": "SGD",
            "cos_lr": True,
            "lrf": 0.2,
            "warmup_epochs": 1.6,
            "weight_decay": 0.01,
        },
        {"class_weights": BALANCED},
    ),
    "SGD-accumulated": Case({"optimizer": "SGD", "batch": 2, "nbs": 4}, {"layer_lrs": FACTORS[1:]}),
    "AdamW-one-class-frozen-for-good": Case(
        {"optimizer": "AdamW", "single_cls": True},
        {"freeze": {"layers": [0, 1, 23], "epochs": None}},
    ),
}
QUICK: Final = {"auto-all-three"}
LONGER_FROZEN: Final = ALL_THREE | {"freeze": {"layers": "backbone", "epochs": 1}}
OTHER_FACTOR: Final = ALL_THREE | {"layer_lrs": [{**each, "factor": 0.2} for each in FACTORS]}
OTHER_WEIGHTS: Final = ALL_THREE | {"class_weights": BALANCED}
SGD: Final[dict[str, object]] = {"optimizer": "SGD", "lr0": 0.002}
CHANGES: Final[dict[str, tuple[Case, set[str]]]] = {
    "lr0": (Case(SGD | {"lr0": 0.004}, ALL_THREE), {"lr0", "initial", "rate"}),
    "lrf": (Case(SGD | {"lrf": 0.5}, ALL_THREE), {"rate"}),
    "momentum": (Case(SGD | {"momentum": 0.5}, ALL_THREE), {"momentum"}),
    "weight_decay": (Case(SGD | {"weight_decay": 0.5}, ALL_THREE), {"decay"}),
    "warmup_epochs": (Case(SGD | {"warmup_epochs": 2.0}, ALL_THREE), {"rate"}),
    "nbs": (Case(SGD | {"nbs": 8}, ALL_THREE), {"accumulate", "steps"}),
    "freeze": (Case(SGD, LONGER_FROZEN), {"still"}),
    "factor": (Case(SGD, OTHER_FACTOR), {"initial", "rate"}),
    "weights": (Case(SGD, OTHER_WEIGHTS), {"weight"}),
}


def unchanged(gradient: torch.Tensor, *_: object) -> torch.Tensor:
    return gradient


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def run_of(
    drawn: Callable[[Task], Path],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch_module: pytest.MonkeyPatch,
) -> Callable[[str], tuple[JobFile, Numbers]]:
    """Return a function that returns the recorded numbers of a case, which runs once."""
    runs: dict[str, tuple[JobFile, Numbers]] = {}
    # It takes seconds for each layer and step in bfloat16 on a CPU, and affects no planned number.
    monkeypatch_module.setattr(muon, "zeropower_via_newtonschulz5", unchanged)

    def run(case: str) -> tuple[JobFile, Numbers]:
        if case not in runs:
            job = CASES[case].job(drawn("detect"), tmp_path_factory.mktemp("planned"))
            training = train_here(job, watching=(Watching,))
            training.assert_it_trained()
            runs[case] = (job, recorded(training))
        return runs[case]

    return run


class TestPlan:
    @pytest.mark.parametrize(
        "case",
        [pytest.param(case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES],
    )
    def test_every_number_is_what_the_run_records(
        self, case: str, run_of: Callable[[str], tuple[JobFile, Numbers]]
    ) -> None:
        job, happened = run_of(case)

        expected = foretold(job)

        assert differing(expected, happened) == {}

    @pytest.mark.parametrize("change", CHANGES)
    @pytest.mark.slow
    def test_the_plan_of_a_job_that_differs_in_one_thing_does_not_fit(
        self,
        change: str,
        run_of: Callable[[str], tuple[JobFile, Numbers]],
        drawn: Callable[[Task], Path],
        tmp_path: Path,
    ) -> None:
        _, happened = run_of("SGD-all-three")
        case, parts = CHANGES[change]

        expected = foretold(case.job(drawn("detect"), tmp_path))

        assert {name.partition("/")[0] for name in differing(expected, happened)} == parts
