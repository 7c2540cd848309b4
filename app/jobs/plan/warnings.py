"""Warnings about a valid job that may not do what its user wants. Each is one function."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.problems import json_pointer
from app.core.tasks import Task
from app.jobs.plan.views import (
    ClassesPlan,
    ExtentPlan,
    OptimizerPlan,
    PlanWarning,
    WarningCode,
)
from app.jobs.spec.customize import (
    Bounds,
    Customize,
    InverseFrequencyClassWeights,
    Layers,
    layer_indices,
    part_name,
)
from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.spec.metric_table import metrics_of
from app.jobs.spec.overriding import OverriddenArgument
from app.models.architectures import Architecture, architecture

FEW_OPTIMIZER_STEPS: Final = 100
_NAMES_SHOWN: Final = 10


@dataclass(frozen=True)
class PlanDraft:
    """A plan without its warnings, which are derived from the other parts."""

    spec: ResolvedSpec
    classes: ClassesPlan
    optimizer: OptimizerPlan
    extent: ExtentPlan
    has_live_slot: bool
    may_run_on_cpu: bool
    overridden: Sequence[OverriddenArgument]
    dropped: Mapping[str, int]

    @property
    def architecture(self) -> Architecture | None:
        """The shipped architecture of the model, if it has one."""
        return architecture(self.spec.architecture or "")

    @property
    def epochs_before(self) -> int:
        """The epochs that the parent trained, if this job continues its training."""
        return self.extent.first_epoch - 1

    def indices(self, layers: Layers) -> set[int]:
        """Return the layers that a selector selects; none without an architecture."""
        if self.architecture is None:
            return set()
        return set(layer_indices(layers, self.architecture.backbone_layers))


def warnings_of(draft: PlanDraft) -> list[PlanWarning]:
    """Return all warnings, those about the model first."""
    return [
        *_unknown_model(draft),
        *_unknown_before_the_run(draft),
        *_overridden_arguments(draft),
        *_freezing(draft),
        *_frozen_with_a_factor(draft),
        *_overridden_factors(draft),
        *_dropped_images(draft),
        *_absent_classes(draft),
        *_small_training(draft),
        *_bounds_never_met(draft.spec.customize, draft.spec.task),
        *_bf16_on_a_cpu(draft),
        *_no_live_slot(draft),
    ]


def _warning(code: WarningCode, pointer: str | None, message: str) -> PlanWarning:
    return PlanWarning(code=code, pointer=pointer, message=message)


def _unknown_model(draft: PlanDraft) -> Iterator[PlanWarning]:
    if draft.architecture is None:
        message = (
            "These weights have an architecture that Ultralytics does not ship: the plan has no "
            "layers, groups or rates, and layer selectors are checked when the training starts."
        )
        yield _warning("architecture_unknown", "/model", message)
    if draft.spec.trainer is not None:
        message = "The plan describes the task's own trainer; the plugin may train differently."
        yield _warning("plugin_may_differ", "/trainer", message)


def _unknown_before_the_run(draft: PlanDraft) -> Iterator[PlanWarning]:
    train, optimizer = draft.spec.train, draft.optimizer
    if train.time is not None:
        message = (
            "The number of epochs is re-estimated after each epoch to fit the time: steps and "
            "rates are not planned."
        )
        yield _warning("time_sets_epochs", "/train/time", message)
    if train.batch < 1:
        message = "The batch size is chosen on the GPU: steps and rates are not planned."
        yield _warning("batch_chosen_by_gpu", "/train/batch", message)
    if optimizer.chosen_by_auto:
        message = (
            f'"auto" chooses {optimizer.name} with lr0 {optimizer.lr0:g} and momentum '
            f"{optimizer.momentum:g}"
        )
        message += "." if optimizer.is_certain else ", or AdamW if the batch becomes large."
        yield _warning("optimizer_chosen", "/train/optimizer", message)


def _overridden_arguments(draft: PlanDraft) -> Iterator[PlanWarning]:
    for found in draft.overridden:
        yield _warning("argument_overridden", f"/train/{found.argument}", found.message)


def _freezing(draft: PlanDraft) -> Iterator[PlanWarning]:
    freeze, train = draft.spec.customize.freeze, draft.spec.train
    if freeze is None or freeze.epochs is None or freeze.epochs <= draft.epochs_before:
        return
    if freeze.epochs >= draft.extent.epochs:
        message = f"The layers are frozen in all {draft.extent.epochs} epochs and never learn."
        yield _warning("freeze_covers_all", "/customize/freeze/epochs", message)
    elif 0 < train.patience < freeze.epochs - draft.epochs_before:
        message = (
            f"The training may end after {train.patience} epochs without a better value, "
            f"before the layers start to learn in epoch {freeze.epochs + 1}."
        )
        yield _warning("patience_within_freeze", "/train/patience", message)


def _frozen_with_a_factor(draft: PlanDraft) -> Iterator[PlanWarning]:
    freeze = draft.spec.customize.freeze
    if freeze is None:
        return
    frozen, last = draft.indices(freeze.layers), draft.extent.epochs
    for_good = freeze.epochs is None or freeze.epochs >= last
    if not for_good and (freeze.epochs or 0) <= draft.epochs_before:
        return
    for place, choice in enumerate(draft.spec.customize.layer_lrs):
        common = frozen & draft.indices(choice.layers)
        if not common:
            continue
        pointer = f"/customize/layer_lrs/{place}"
        if for_good:
            message = f"Layers {_numbers(common)} never learn: the factor has no effect on them."
            yield _warning("factor_of_frozen_layers", pointer, message)
        else:
            message = (
                f"Layers {_numbers(common)} are frozen at first: the factor takes effect in epoch "
                f"{(freeze.epochs or 0) + 1}."
            )
            yield _warning("factor_after_unfreezing", pointer, message)


def _overridden_factors(draft: PlanDraft) -> Iterator[PlanWarning]:
    later: set[int] = set()
    chosen = list(enumerate(draft.spec.customize.layer_lrs))
    for place, choice in reversed(chosen):
        indices = draft.indices(choice.layers)
        if indices and indices <= later:
            message = (
                f"Later entries override the factor of every layer of {part_name(choice.layers)}."
            )
            yield _warning("layer_lr_overridden", f"/customize/layer_lrs/{place}", message)
        later |= indices


def _dropped_images(draft: PlanDraft) -> Iterator[PlanWarning]:
    kept = draft.extent.images
    counts = [
        f"{dropped} of {dropped + kept.get(split, 0)} images of {split}"
        for split, dropped in draft.dropped.items()
        if dropped
    ]
    if counts:
        message = (
            f"The verification dropped {' and '.join(counts)}: training does not read them. "
            "The report of the dataset lists their faults."
        )
        yield _warning("images_dropped", "/dataset", message)


def _absent_classes(draft: PlanDraft) -> Iterator[PlanWarning]:
    shown = draft.classes.shown
    unseen = [row.name for row in shown if row.validation_labels == 0]
    if unseen:
        message = f"No labels in the validation split: {_names(unseen)}; their metrics are null."
        yield _warning("class_without_validation_labels", "/dataset", message)
    unlearned = [row.name for row in shown if row.training_labels == 0]
    by_frequency = isinstance(draft.spec.customize.class_weights, InverseFrequencyClassWeights)
    if unlearned and by_frequency:
        message = f"No labels in the training split: {_names(unlearned)}; their weight is 1.0."
        yield _warning("class_without_training_labels", "/customize/class_weights", message)


def _small_training(draft: PlanDraft) -> Iterator[PlanWarning]:
    extent, train = draft.extent, draft.spec.train
    steps = extent.optimizer_steps
    if steps is not None and steps < FEW_OPTIMIZER_STEPS and not draft.epochs_before:
        message = (
            f"Only {steps} optimizer steps in all, the first {extent.warmup_batches} batches of "
            f"{(extent.batches_per_epoch or 0) * extent.epochs} in warm-up: it will learn little. "
            'Lower "nbs" or "batch", or train for longer.'
        )
        yield _warning("few_optimizer_steps", "/train/epochs", message)
    if train.batch > extent.training_images:
        message = f"The training split has {extent.training_images} images: one batch an epoch."
        yield _warning("batch_above_training_set", "/train/batch", message)
    has_mosaic = "close_mosaic" in train.model_fields_set and train.mosaic > 0
    if has_mosaic and train.close_mosaic >= extent.epochs - draft.epochs_before:
        message = (
            f"Mosaic is off in the last {train.close_mosaic} epochs, which are all epochs trained."
        )
        yield _warning("close_mosaic_covers_all", "/train/close_mosaic", message)


def _bounds_never_met(customize: Customize, task: Task) -> Iterator[PlanWarning]:
    """Scores are between 0 and 1; losses and errors are not negative."""
    directions = metrics_of(task)
    for place, kept in enumerate(customize.keep_best):
        for metric, bounds in kept.where.items():
            direction = directions.get(metric)
            if direction is not None and _is_beyond(bounds, is_score=direction == "higher"):
                path = ("body", "customize", "keep_best", place, "where", metric)
                message = f"{metric} never reaches these bounds: {kept.file_name} will not be kept."
                yield _warning("bound_never_met", json_pointer(path), message)


def _is_beyond(bounds: Bounds, *, is_score: bool) -> bool:
    too_high = is_score and bounds.min is not None and bounds.min > 1
    too_low = bounds.max is not None and bounds.max < 0
    return too_high or too_low


def _bf16_on_a_cpu(draft: PlanDraft) -> Iterator[PlanWarning]:
    if draft.may_run_on_cpu and draft.spec.train.amp == "bf16":
        message = (
            'A slot without a GPU may take the job, and would fail: a CPU cannot train in "bf16". '
            'Set "resources.gpus" to 1.'
        )
        yield _warning("bf16_needs_a_gpu", "/resources/gpus", message)


def _no_live_slot(draft: PlanDraft) -> Iterator[PlanWarning]:
    if draft.has_live_slot:
        return
    wanted, trainer = draft.spec.resources, draft.spec.trainer
    parts = [f"the queue {wanted.queue}"]
    if wanted.gpus is not None:
        parts.append(f"{wanted.gpus} GPUs" if wanted.gpus != 1 else "one GPU")
    if trainer is not None:
        parts.append(f"the trainer {trainer.name}")
    message = f"No live slot offers {' and '.join(parts)}: the job will wait for one."
    yield _warning("no_live_slot", "/resources", message)


def _numbers(indices: Iterable[int]) -> str:
    return _names([str(index) for index in sorted(indices)])


def _names(names: list[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
