"""The five customizations, the settings of each in a job, and the check of its effect in a run."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import nn

from app.core.tasks import Task
from app.jobs.spec.metric_table import F1_METRICS
from tests.worker.trainer.customizations.in_process import Training, differing_tensors
from tests.worker.trainer.drawn_datasets import CLASSES
from tests.worker.trainer.jobs import ARCHITECTURES, a_job
from worker.trainer.protocol import ArchitectureSource, JobFile
from worker.trainer.run import TrainerMixin

FACTOR: Final = 0.25
WEIGHTS: Final = (1.0, 1.0, 5.0)
FROZEN_EPOCHS: Final = 2
CHOOSING: Final[dict[Task, str]] = {
    "detect": "val/cls_loss",
    "segment": "val/cls_loss",
    "pose": "val/cls_loss",
    "obb": "val/cls_loss",
    "classify": "val/loss",
    "semantic": "val/ce_loss",
    "depth": "metrics/rmse",
}
"""A metric that makes another fitness than Ultralytics' own; the lower is the better."""


class Watched(TrainerMixin):
    """Records the backbone weights and the rates at the end of each epoch."""

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.backbone_after: dict[int, dict[str, torch.Tensor]] = {}
        self.rates_after: dict[int, tuple[set[float], set[float]]] = {}
        super().__init__(overrides=overrides)

    def run_callbacks(self, event: str) -> None:
        super().run_callbacks(event)
        if event == "on_train_start":
            self.backbone_after[self.start_epoch] = self._backbone_state()
        if event == "on_train_epoch_end":
            self.backbone_after[self.epoch + 1] = self._backbone_state()
            self.rates_after[self.epoch + 1] = self._rates_by_part()

    def _backbone_state(self) -> dict[str, torch.Tensor]:
        layers = self._layers()
        return {
            f"{index}.{name}": tensor.detach().clone()
            for index in range(self._backbone_layers())
            for name, tensor in layers[index].state_dict().items()
        }

    def _rates_by_part(self) -> tuple[set[float], set[float]]:
        """Return the rates of weights in the backbone, and of those in the other layers."""
        mine = {
            id(parameter)
            for layer in self._layers()[: self._backbone_layers()]
            for parameter in layer.parameters()
        }
        backbone: set[float] = set()
        others: set[float] = set()
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                (backbone if id(parameter) in mine else others).add(group["lr"])
        return backbone, others

    def _layers(self) -> Any:  # noqa: ANN401 -- a ModuleList
        return self.model.model

    def _backbone_layers(self) -> int:
        return len(self.model.yaml["backbone"])


@dataclass(frozen=True)
class Customization:
    """One of the five: its part of the JSON, and a check that a run shows it.

    `shows(run)` raises AssertionError if the run lacks the effect; it must raise for every run
    without the customization.
    """

    name: str
    part: Callable[[Task], Mapping[str, object]]
    shows: Callable[[Training], None]


def a_customized_job(
    dataset: Path,
    directory: Path,
    names: frozenset[str],
    *,
    task: Task = "detect",
    architecture: str | None = None,
    epochs: int = 3,
) -> JobFile:
    """Return a job of three tiny epochs with the named customizations."""
    chosen = [each for each in SIX if each.name in names]
    customize = {key: value for each in chosen for key, value in each.part(task).items()}
    name = architecture or ARCHITECTURES[task]
    return a_job(
        dataset,
        directory,
        task=task,
        train={"epochs": epochs},
        customize=customize,
        facts={"architecture": name},
        model=ArchitectureSource(name=name),
    )


def has_its_metrics(run: Training) -> None:
    task = run.job.task
    for column in F1_METRICS[task]:
        assert all(column in row for row in run.rows), column
        assert column in run.of("final")[0].metrics
    for event in run.of("epoch"):
        assert event.classes is not None
        assert {len(values) for values in event.classes.values()} == {len(CLASSES)}


def weighs_its_classes(run: Training) -> None:
    weights = torch.tensor(WEIGHTS)
    for found in criterion_weights(run.trainer.model.criterion):
        assert found is not None
        assert torch.equal(found.cpu()[: len(CLASSES)], weights)


def chooses_by_its_metric(run: Training) -> None:
    values = [float(row[CHOOSING[run.job.task]]) for row in run.rows]
    for event in run.of("epoch"):
        assert event.fitness == pytest.approx(-values[event.epoch - 1], rel=1e-4)
    last_of_the_lowest = max(n for n, value in enumerate(values, 1) if value == min(values))
    assert run.of("final")[0].best_epoch == last_of_the_lowest


def freezes_then_learns(run: Training) -> None:
    after = run.trainer.backbone_after
    frozen = FROZEN_EPOCHS
    first, last = min(after), max(after)
    for epoch in range(first, frozen + 1):
        assert _same(after[first], after[epoch]), epoch
    assert not _same(after[max(first, frozen)], after[last])
    told = [event for event in run.of("notice") if event.code == "layers_unfrozen"]
    assert len(told) == (first <= frozen)


def keeps_another_checkpoint(run: Training) -> None:
    kept = {each.name: each.epoch for each in run.of("final")[0].artifacts}
    losses = [float(row[CHOOSING[run.job.task]]) for row in run.rows]
    assert kept.get("best_kept.pt") == max(
        n for n, loss in enumerate(losses, 1) if loss == min(losses)
    )


def learns_slower_in_the_backbone(run: Training) -> None:
    for backbone, others in run.trainer.rates_after.values():
        assert len(backbone) == len(others) == 1, (backbone, others)
        assert backbone.pop() == FACTOR * others.pop()


FIVE: Final[tuple[Customization, ...]] = (
    Customization(
        "metrics", lambda _: {"metrics": {"f1": True, "per_class": True}}, has_its_metrics
    ),
    Customization(
        "class_weights",
        lambda _: {"class_weights": {"mode": "explicit", "weights": {CLASSES[-1]: 5.0}}},
        weighs_its_classes,
    ),
    Customization(
        "best_model",
        lambda task: {"best_model": {"metric": CHOOSING[task]}},
        chooses_by_its_metric,
    ),
    Customization(
        "freeze",
        lambda _: {"freeze": {"layers": "backbone", "epochs": FROZEN_EPOCHS}},
        freezes_then_learns,
    ),
    Customization(
        "layer_lrs",
        lambda _: {"layer_lrs": [{"layers": "backbone", "factor": FACTOR}]},
        learns_slower_in_the_backbone,
    ),
)
KEEPING: Final = Customization(
    "keep_best",
    lambda task: {"keep_best": [{"name": "kept", "metric": CHOOSING[task]}]},
    keeps_another_checkpoint,
)
SIX: Final = (*FIVE, KEEPING)
ALL: Final = frozenset(each.name for each in FIVE)
REFUSED: Final[dict[Task, frozenset[str]]] = {"depth": frozenset({"metrics", "class_weights"})}
"""Customizations that have no meaning for a task."""


def fits(task: Task) -> frozenset[str]:
    """Return the customizations that the task does not refuse."""
    return ALL - REFUSED.get(task, frozenset())


def criterion_weights(criterion: Any) -> list[torch.Tensor | None]:  # noqa: ANN401 -- no base class
    """Return the class weights in every branch of a loss; None for a branch without weights."""
    return [_weights_of(each) for each in branches(criterion)]


def _weights_of(branch: Any) -> torch.Tensor | None:  # noqa: ANN401 -- no base class
    if hasattr(branch, "bce"):
        found = branch.bce.pos_weight
    else:
        found = branch.ce.weight if hasattr(branch, "ce") else getattr(branch, "weights", None)
    assert found is None or isinstance(found, torch.Tensor)
    return found


def branches(criterion: Any) -> list[Any]:  # noqa: ANN401 -- no base class
    """Return the parts of a detection loss: YOLO26 has two, other models have one."""
    if hasattr(criterion, "one2many"):
        return [criterion.one2many, criterion.one2one]
    return [criterion]


def class_loss(run: Training, weights: Sequence[float] | None = None) -> float:
    """Return the class loss of the trained model on the first validation batch.

    Args:
        run: of a detection job.
        weights: factors of the classes' positive terms; None keeps those of the run.
    """
    trainer = run.trainer
    criterion = copy.deepcopy(trainer.model.criterion)
    if weights is not None:
        for each in branches(criterion):
            each.bce = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights), reduction="none")
    batch = trainer.preprocess_batch(next(iter(trainer.test_loader)))
    model = copy.deepcopy(trainer.model).train()
    with torch.no_grad():
        _, items = criterion(model(batch["img"]), batch)
    return float(items["cls_loss"])


def same_training(one: Training, other: Training) -> bool:
    """Return whether two runs wrote the same numbers, except F1, and the same last.pt."""
    ours = {column for columns in F1_METRICS.values() for column in columns}
    rows = [
        [{name: row[name] for name in row if name not in ours} for row in run.rows]
        for run in (one, other)
    ]
    names = [run.directory / "weights" / "last.pt" for run in (one, other)]
    return rows[0] == rows[1] and differing_tensors(*names) == []


def _same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Return whether weights and running statistics are equal bit by bit; ignore batch counts."""
    return all(
        torch.equal(tensor, other[name])
        for name, tensor in one.items()
        if not name.endswith("num_batches_tracked")
    )
