"""The optimizer of a job, its groups and their learning rates, computed without torch.

Mirrors the stock builder (Ultralytics 8.4.190, trainer.py:1155-1250), with groups split by
`layer_lrs` as in `app.jobs.spec.layer_rates`.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.jobs.plan.schedule import (
    ITERATIONS_OF_ADAMW,
    TrainingSchedule,
    batch_size,
    nominal_iterations,
    scaled_weight_decay,
    schedule_of,
)
from app.jobs.spec.customize import Freeze, layer_indices
from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.spec.layer_rates import part_of, part_order, rate_name
from app.jobs.spec.train_arguments import TrainArguments
from app.models.architectures import architecture
from app.models.layer_tables import LayerRow, TensorKind

MUSGD: Final = "MuSGD"
RAISED: Final = 3.0
"""MuSGD's factor on the learning rate of the class branch (trainer.py:1239)."""

_CLASS_NAMES: Final = {"RMSProp": "RMSprop"}  # the names in the spec that differ from torch's
_GROUPS: Final = ("weight", "norm", "bias")
_GROUPS_OF_MUSGD: Final = tuple(
    group + suffix for group in (*_GROUPS, "weight_muon") for suffix in ("_x3", "")
)


@dataclass(frozen=True, slots=True)
class ChosenOptimizer:
    """The optimizer as it is built.

    Args:
        name: class name.
        lr0: learning rate of groups before factors.
        momentum: momentum or Adam's beta1. SGD, MuSGD and RMSprop warm up to the train argument.
        warmup_bias_lr: rate of biases at the start of the warm-up, regardless of their factor.
        chosen_by_auto: whether `auto` chose it.
        is_certain: False if `auto` chooses by a batch size that only the GPU determines. Then this
            is the choice for batches of at most `nbs` images.
    """

    name: str
    lr0: float
    momentum: float
    warmup_bias_lr: float
    chosen_by_auto: bool = False
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class PlannedGroup:
    """One group of the optimizer.

    Args:
        name: lr/<part>/<group>.
        tensors: number of tensors, frozen ones included.
        parameters: number of scalar parameters.
        weight_decay: None if it depends on a batch size that only the GPU determines.
        factor: factor of its part.
        initial_rate: rate when the optimizer is built, factor included.
        learns_from: first epoch (from 1) in which a parameter is trained; None if never.
        rates: rates at the end of each of `epochs_shown`; None if the schedule is not known.
    """

    name: str
    tensors: int
    parameters: int
    weight_decay: float | None
    factor: float
    initial_rate: float
    learns_from: int | None
    rates: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Optimization:
    """The optimizer of a job with its schedule.

    Args:
        optimizer: the optimizer.
        schedule: None if batch size or epochs are decided during the training.
        groups: groups in the optimizer's order; empty if the layers are not known.
    """

    optimizer: ChosenOptimizer
    schedule: TrainingSchedule | None
    groups: tuple[PlannedGroup, ...]


def optimization_of(
    spec: ResolvedSpec,
    layers: Sequence[LayerRow] | None,
    *,
    images: int,
    classes: int,
    first_epoch: int = 1,
) -> Optimization:
    """Return the optimizer of a job with its schedule.

    Args:
        spec: the resolved spec.
        layers: layers of its model; None if not known.
        images: images of the training split, after `fraction`.
        classes: classes that the model is built for: 1 with `single_cls`; includes the background
            class if the dataset adds one.
        first_epoch: above 1 if the job continues another job's training.
    """
    chosen = choose_optimizer(spec.train, images=images, classes=classes)
    schedule = schedule_of(spec.train, images=images, first_epoch=first_epoch)
    shipped = architecture(spec.architecture or "")
    groups = (
        _Grouping(spec, chosen, schedule, shipped.backbone_layers).groups(layers)
        if layers is not None and shipped is not None
        else ()
    )
    return Optimization(chosen, schedule, tuple(groups))


def choose_optimizer(train: TrainArguments, *, images: int, classes: int) -> ChosenOptimizer:
    """Return the optimizer; `auto` chooses by the length of the training (trainer.py:1173).

    Args:
        train: the resolved arguments.
        images: images of the training split, after `fraction`.
        classes: classes that the model is built for.
    """
    if train.optimizer != "auto":
        name = _CLASS_NAMES.get(train.optimizer, train.optimizer)
        return ChosenOptimizer(name, train.lr0, train.momentum, train.warmup_bias_lr)
    if nominal_iterations(train, images=images) > ITERATIONS_OF_ADAMW:
        is_certain = batch_size(train) is not None
        return ChosenOptimizer(MUSGD, 0.01, 0.9, 0.0, chosen_by_auto=True, is_certain=is_certain)
    rate = round(0.002 * 5 / (4 + classes), 6)
    return ChosenOptimizer("AdamW", rate, 0.9, 0.0, chosen_by_auto=True)


def frozen_until(freeze: Freeze | None, *, epochs: int, backbone_layers: int) -> dict[int, int]:
    """Return the last frozen epoch of each frozen layer; `epochs` if it never learns."""
    if freeze is None:
        return {}
    until = epochs if freeze.epochs is None else min(freeze.epochs, epochs)
    return dict.fromkeys(layer_indices(freeze.layers, backbone_layers), until)


def group_of(kind: TensorKind, optimizer: str) -> str:
    """Return the group into which the stock builder puts a tensor of this kind."""
    if optimizer != MUSGD:
        return kind.kind
    return ("weight_muon" if kind.muon else kind.kind) + ("_x3" if kind.raised else "")


@dataclass(frozen=True)
class _Grouping:
    """The layers of a job, sorted into the groups of its optimizer."""

    spec: ResolvedSpec
    chosen: ChosenOptimizer
    schedule: TrainingSchedule | None
    backbone_layers: int

    def groups(self, layers: Iterable[LayerRow]) -> Iterator[PlannedGroup]:
        factors = self.spec.customize.layer_lrs
        sorted_in = self._sorted(layers)
        for group in _GROUPS_OF_MUSGD if self.chosen.name == MUSGD else _GROUPS:
            for part in part_order(factors):
                members = sorted_in.get((group, part), [])
                if members or not factors:
                    yield self._group(group, part, members)

    def _sorted(self, layers: Iterable[LayerRow]) -> dict[tuple[str, str], list["_Member"]]:
        customize, epochs = self.spec.customize, self.spec.train.epochs
        until = frozen_until(customize.freeze, epochs=epochs, backbone_layers=self.backbone_layers)
        members: dict[tuple[str, str], list[_Member]] = {}
        for layer in layers:
            part, factor = part_of(layer.index, customize.layer_lrs, self.backbone_layers)
            for count in layer.counts:
                frozen = epochs if count.kind.fixed else until.get(layer.index, 0)
                member = _Member(count.tensors, count.elements, factor, frozen)
                group = group_of(count.kind, self.chosen.name)
                members.setdefault((group, part), []).append(member)
        return members

    def _group(self, group: str, part: str, members: Collection["_Member"]) -> PlannedGroup:
        factor = max(
            (member.factor for member in members), default=1.0
        )  # all have the part's factor
        raised = RAISED if group.endswith("_x3") else 1.0
        initial = self.chosen.lr0 * raised * factor
        until = min((member.frozen_until for member in members), default=self.spec.train.epochs)
        decays = group.startswith("weight")
        return PlannedGroup(
            name=rate_name(part, group),
            tensors=sum(member.tensors for member in members),
            parameters=sum(member.elements for member in members),
            weight_decay=scaled_weight_decay(self.spec.train) if decays else 0.0,
            factor=factor,
            initial_rate=initial,
            learns_from=until + 1 if until < self.spec.train.epochs else None,
            rates=self._rates(initial, self.chosen.warmup_bias_lr if "bias" in group else 0.0),
        )

    def _rates(self, initial: float, warmup_start: float) -> tuple[float, ...] | None:
        course = self.schedule
        if course is None:
            return None
        return tuple(
            course.recorded_rate(epoch, initial=initial, warmup_start=warmup_start)
            for epoch in course.epochs_shown
        )


@dataclass(frozen=True, slots=True)
class _Member:
    """The tensors of one kind in one layer."""

    tensors: int
    elements: int
    factor: float
    frozen_until: int
