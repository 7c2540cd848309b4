"""The plan of a job: layers, optimizer, steps, estimate and warnings, computed before it runs.

`plan_of` is a pure function; `read_capacity` reads from the database what it needs.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Self

from sqlalchemy.orm import Session

from app.core.class_weights import balanced_weights
from app.core.problems import json_pointer
from app.datasets.tables import DatasetVersion
from app.fleet.repository import KnownSlot, known_slots
from app.jobs.life.claim import Demand, SlotOffer
from app.jobs.plan.estimate import (
    NO_ARCHITECTURE,
    NO_DEVICE,
    NO_JOBS,
    AlikeJob,
    EpochImages,
    alike_jobs,
    estimate,
    estimate_by_time,
    images_of_epoch,
    no_estimate,
)
from app.jobs.plan.joint import PlannedJoint, joint_plan
from app.jobs.plan.optimizer import (
    Optimization,
    PlannedGroup,
    frozen_until,
    optimization_of,
)
from app.jobs.plan.schedule import TrainingSchedule
from app.jobs.plan.views import (
    MAX_CLASSES_SHOWN,
    ClassesPlan,
    ClassPlan,
    EstimatePlan,
    ExtentPlan,
    GroupPlan,
    LayerPlan,
    ModelPlan,
    OptimizerPlan,
    StoredPlan,
    SwitchedOn,
)
from app.jobs.plan.warnings import PlanDraft, warnings_of
from app.jobs.spec.customize import BalancedClassWeights, Customize
from app.jobs.spec.job_spec import JobSpec, ResolvedSpec
from app.jobs.spec.layer_rates import part_of
from app.jobs.spec.metric_table import F1_METRICS
from app.jobs.spec.overriding import OverriddenArgument
from app.models.architectures import architecture as shipped_architecture
from app.models.layer_tables import LayerRow, layer_table

CPU: Final = "cpu"
WITH_BOXES: Final = frozenset({"detect", "segment", "pose", "obb"})
PIXELS_COUNT: Final = "Weights depend on the pixels of the masks; the training computes them."
PART_COUNTS: Final = '"fraction" selects a part of the labels; the training computes the weights.'
ONE_NAME_TWICE: Final = (
    "Labels are counted by name and two classes share one; the training counts them."
)
NOTHING_COUNTED: Final = "There are no label counts; the training computes the weights."


@dataclass(frozen=True)
class TrainingData:
    """The facts about a dataset that a plan needs: classes, and images and labels by split.

    `dropped` are the images that the verification left out, which `images` does not count.
    """

    classes: tuple[str, ...]
    images: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    channels: int = 3
    keypoints: tuple[int, int] | None = None
    adds_background: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, version: DatasetVersion) -> Self:
        """Return the facts that the verification of a version recorded."""
        report: Any = version.report or {}
        points = report.get("keypoints")
        return cls(
            classes=tuple(version.classes or ()),
            images=version.images or {},
            labels=report.get("class_counts", {}),
            channels=report.get("channels", 3),
            keypoints=None if points is None else (points[0], points[1]),
            adds_background=report.get("adds_background", False),
            dropped={
                split: summary.get("dropped", 0)
                for split, summary in report.get("splits", {}).items()
            },
        )


@dataclass(frozen=True)
class Capacity:
    """Whether a live slot can run a job, the devices, and past jobs to estimate from.

    `slots` are all slots that were read.
    """

    has_live_slot: bool
    devices: tuple[str, ...] = ()
    alike: tuple[AlikeJob, ...] = ()
    slots: tuple[KnownSlot, ...] = ()


def layers_of_model(
    architecture: str | None, data: TrainingData, *, single_cls: bool
) -> tuple[LayerRow, ...]:
    """Return the layers of a shipped architecture as built for a dataset; () for any other."""
    if architecture is None or shipped_architecture(architecture) is None:
        return ()
    classes = _classes_built(data, single_cls=single_cls)
    return layer_table(
        architecture, classes=classes, keypoints=data.keypoints, channels=data.channels
    )


def learning_layers(layers: tuple[LayerRow, ...]) -> frozenset[int]:
    """Return the indices of the layers with trainable parameters."""
    return frozenset(layer.index for layer in layers if layer.trainable)


def read_capacity(
    session: Session, project_ids: Collection[str], spec: ResolvedSpec, *, silent: timedelta
) -> Capacity:
    """Read the slots, and past jobs on their devices, in one query plus one per device.

    Args:
        session: to read with.
        project_ids: the caller's projects; only their jobs are used for estimates.
        spec: the resolved spec.
        silent: a worker without a heartbeat for longer than this is not live.
    """
    demand = Demand(
        queue=spec.resources.queue,
        gpus=spec.resources.gpus,
        trainer=spec.trainer.name if spec.trainer else None,
    )
    slots = tuple(known_slots(session, silent=silent))
    live = _devices([slot for slot in slots if slot.is_live], demand)
    if spec.architecture is None or spec.train.time is not None:
        return Capacity(has_live_slot=bool(live), devices=live, slots=slots)
    devices = live or _devices(slots, demand)
    alike = alike_jobs(
        session,
        project_ids,
        architecture=spec.architecture,
        imgsz=spec.train.imgsz,
        devices=devices,
    )
    return Capacity(bool(live), devices, tuple(alike), slots)


def plan_of(
    submitted: JobSpec,
    spec: ResolvedSpec,
    data: TrainingData,
    capacity: Capacity,
    *,
    joint: PlannedJoint | None = None,
    overridden: Sequence[OverriddenArgument] = (),
) -> StoredPlan:
    """Return the plan of a job.

    Args:
        submitted: the spec as submitted, to report what it switched on implicitly.
        spec: the resolved spec.
        data: the facts about its dataset version.
        capacity: live slots and past jobs.
        joint: where it continues another job's training; None if it does not.
        overridden: the arguments that do not run as submitted.
    """
    train = spec.train
    first_epoch = 1 if joint is None else joint.epoch + 1
    images = images_of_epoch(data.images, {"fraction": train.fraction, "split": train.split})
    layers = layers_of_model(spec.architecture, data, single_cls=spec.train.single_cls)
    classes = _classes_built(data, single_cls=train.single_cls)
    optimization = optimization_of(
        spec, layers, images=images.training, classes=classes, first_epoch=first_epoch
    )
    extent = _extent(spec, data, images, optimization.schedule, first_epoch=first_epoch)
    draft = PlanDraft(
        spec=spec,
        classes=_classes(spec, data),
        optimizer=_optimizer(optimization),
        extent=extent,
        has_live_slot=capacity.has_live_slot,
        may_run_on_cpu=capacity.has_live_slot and CPU in capacity.devices,
        overridden=overridden,
        dropped={split: data.dropped.get(split, 0) for split in ("train", train.split)},
    )
    return StoredPlan(
        model=_model(spec, layers),
        classes=draft.classes,
        optimizer=draft.optimizer,
        extent=extent,
        joint=None if joint is None else joint_plan(joint, spec, draft.optimizer.groups),
        estimate=_estimate(spec, capacity, images, epochs=train.epochs - first_epoch + 1),
        switched_on=list(_switched_on(submitted.customize or Customize(), spec)),
        warnings=warnings_of(draft),
    )


def _classes_built(data: TrainingData, *, single_cls: bool) -> int:
    """Return the number of classes that the model is built for."""
    return 1 if single_cls else max(1, len(data.classes) + data.adds_background)


def _devices(slots: Collection[KnownSlot], demand: Demand) -> tuple[str, ...]:
    """Return the names of the devices of all slots that can run the job."""
    able = [slot for slot in slots if SlotOffer.of(slot).suits(demand)]
    names = {str(slot.devices[0]["name"]) if slot.devices else CPU for slot in able}
    return tuple(sorted(names))


def _model(spec: ResolvedSpec, layers: tuple[LayerRow, ...]) -> ModelPlan | None:
    shipped = shipped_architecture(spec.architecture or "")
    if shipped is None:
        return None
    last, backbone_layers = spec.train.epochs, shipped.backbone_layers
    until = frozen_until(spec.customize.freeze, epochs=last, backbone_layers=backbone_layers)
    factors = spec.customize.layer_lrs
    rows = [
        LayerPlan(
            index=layer.index,
            module=layer.module,
            parameters=layer.parameters,
            frozen_until=until.get(layer.index),
            lr_factor=part_of(layer.index, factors, backbone_layers)[1],
        )
        for layer in layers
    ]
    learning = {layer.index: layer.trainable for layer in layers}
    return ModelPlan(
        architecture=shipped.name,
        backbone_layers=backbone_layers,
        parameters=sum(layer.parameters for layer in layers),
        trainable_at_start=sum(n for index, n in learning.items() if index not in until),
        trainable_at_end=sum(n for index, n in learning.items() if until.get(index, 0) < last),
        layers=rows,
    )


def _classes(spec: ResolvedSpec, data: TrainingData) -> ClassesPlan:
    weights, note = _weights(spec, data)
    training, validation = (data.labels.get(split) for split in ("train", spec.train.split))
    chosen = spec.customize.class_weights
    shown = [
        ClassPlan(
            name=name,
            training_labels=None if training is None else training.get(name, 0),
            validation_labels=None if validation is None else validation.get(name, 0),
            weight=None if weights is None else weights[name],
        )
        for name in data.classes[:MAX_CLASSES_SHOWN]
    ]
    mode = "none" if chosen is None else chosen.mode
    return ClassesPlan(total=len(data.classes), mode=mode, note=note, shown=shown)


def _weights(
    spec: ResolvedSpec, data: TrainingData
) -> tuple[Mapping[str, float] | None, str | None]:
    chosen = spec.customize.class_weights
    if not isinstance(chosen, BalancedClassWeights):
        return spec.class_weights, None
    if spec.task not in WITH_BOXES:
        return None, PIXELS_COUNT
    if spec.train.fraction != 1:
        return None, PART_COUNTS
    if len(set(data.classes)) < len(data.classes):
        return None, ONE_NAME_TWICE
    counts = data.labels.get("train", {})
    weights = balanced_weights({name: counts.get(name, 0) for name in data.classes}, chosen.power)
    return weights, None if weights else NOTHING_COUNTED


def _optimizer(optimization: Optimization) -> OptimizerPlan:
    chosen, course = optimization.optimizer, optimization.schedule
    return OptimizerPlan(
        name=chosen.name,
        chosen_by_auto=chosen.chosen_by_auto,
        is_certain=chosen.is_certain,
        lr0=chosen.lr0,
        momentum=chosen.momentum,
        epochs_shown=[] if course is None else list(course.epochs_shown),
        groups=[_group(group) for group in optimization.groups],
    )


def _group(group: PlannedGroup) -> GroupPlan:
    return GroupPlan(
        name=group.name,
        tensors=group.tensors,
        parameters=group.parameters,
        weight_decay=group.weight_decay,
        lr_factor=group.factor,
        initial_rate=group.initial_rate,
        learns_from=group.learns_from,
        rates=None if group.rates is None else list(group.rates),
    )


def _extent(
    spec: ResolvedSpec,
    data: TrainingData,
    images: EpochImages,
    course: TrainingSchedule | None,
    *,
    first_epoch: int,
) -> ExtentPlan:
    return ExtentPlan(
        epochs=spec.train.epochs,
        first_epoch=first_epoch,
        training_images=images.training,
        validation_images=images.validation,
        images=dict(data.images),
        batches_per_epoch=None if course is None else course.batches,
        accumulate=None if course is None else course.accumulate,
        optimizer_steps=None if course is None else course.optimizer_steps,
        warmup_batches=None if course is None else course.warmup_batches,
    )


def _estimate(
    spec: ResolvedSpec, capacity: Capacity, images: EpochImages, *, epochs: int
) -> EstimatePlan:
    if spec.train.time is not None:
        return estimate_by_time(spec.train.time)
    if spec.architecture is None:
        return no_estimate(NO_ARCHITECTURE)
    if not capacity.devices:
        return no_estimate(NO_DEVICE)
    if not capacity.alike:
        return no_estimate(NO_JOBS.format(", ".join(capacity.devices)))
    return estimate(capacity.alike, images, epochs)


def _switched_on(submitted: Customize, spec: ResolvedSpec) -> Iterator[SwitchedOn]:
    if submitted.metrics.f1 or not spec.customize.metrics.f1:
        return
    for place, (metric, _) in submitted.chosen_metrics().items():
        if metric in F1_METRICS[spec.task]:
            because = json_pointer(("body", "customize", *place))
            yield SwitchedOn(field="/customize/metrics/f1", because=because)
