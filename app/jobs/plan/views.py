"""The JSON models of a plan, which is made before a GPU is used and stored with the job."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, Field, JsonValue

from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.tables import Job, JobPlan

MAX_CLASSES_SHOWN: Final = 1000
MAX_WEIGHTS_SHOWN: Final = 100

WarningCode = Literal[
    "architecture_unknown",
    "argument_overridden",
    "batch_above_training_set",
    "batch_chosen_by_gpu",
    "bf16_needs_a_gpu",
    "bound_never_met",
    "class_without_training_labels",
    "class_without_validation_labels",
    "close_mosaic_covers_all",
    "factor_after_unfreezing",
    "factor_of_frozen_layers",
    "few_optimizer_steps",
    "freeze_covers_all",
    "images_dropped",
    "layer_lr_overridden",
    "no_live_slot",
    "optimizer_chosen",
    "patience_within_freeze",
    "plugin_may_differ",
    "time_sets_epochs",
]


class LayerPlan(BaseModel):
    """One layer of the model."""

    index: int = Field(description="Counted from 0.")
    module: str = Field(description="The layer's class in Ultralytics or torch.")
    parameters: int = Field(description="Number of scalar parameters.")
    frozen_until: int | None = Field(
        description="The last epoch in which the layer is frozen; the last epoch of all if it "
        "never learns. null: not frozen."
    )
    lr_factor: float = Field(description="Factor on the learning rates of its optimizer groups.")


class ModelPlan(BaseModel):
    """The model's layers, and how many of its parameters are trained."""

    architecture: str
    backbone_layers: int = Field(
        description="Number of layers, from the first, that `backbone` selects."
    )
    parameters: int
    trainable_at_start: int = Field(description="Parameters trained in the first epoch.")
    trainable_at_end: int = Field(description="Parameters trained in the last epoch.")
    layers: list[LayerPlan]


class ClassPlan(BaseModel):
    """One class, in the order of the dataset."""

    name: str
    training_labels: int | None = Field(
        description="Labels in the whole training split. null: not counted."
    )
    validation_labels: int | None = Field(
        description="Labels in the whole validation split. null: not counted."
    )
    weight: float | None = Field(
        description="Weight in the class loss. null: computed by the training."
    )


class ClassesPlan(BaseModel):
    """The classes with their weights and label counts."""

    total: int
    mode: Literal["none", "explicit", "inverse_frequency", "balanced"]
    note: str | None = Field(description="Why weights are null or differ from the counts.")
    shown: list[ClassPlan] = Field(description=f"The first {MAX_CLASSES_SHOWN} classes.")


class GroupPlan(BaseModel):
    """A part of an optimizer group."""

    name: str = Field(description="lr/<part>/<group>, as in the job's metrics.")
    tensors: int
    parameters: int = Field(description="Scalar parameters, frozen ones included.")
    weight_decay: float | None = Field(
        description="null: depends on a batch size that is not known yet."
    )
    lr_factor: float = Field(description="Factor of the part, from `layer_lrs`.")
    initial_rate: float = Field(description="Rate when the optimizer is built, factor included.")
    learns_from: int | None = Field(
        description="First epoch in which a parameter is trained. null: never."
    )
    rates: list[float] | None = Field(
        description="Rates at the end of each of `epochs_shown`. null: not known yet."
    )


class OptimizerPlan(BaseModel):
    """The optimizer and its groups, in the optimizer's order."""

    name: str = Field(description="The optimizer's class, also if `auto` chose it.")
    chosen_by_auto: bool
    is_certain: bool = Field(
        description="false: `auto` may choose another one for the GPU's batch size."
    )
    lr0: float
    momentum: float = Field(description="Momentum, or Adam's beta1.")
    epochs_shown: list[int] = Field(
        description="The first, the middle and the last epoch trained; with `rates`, the epochs "
        "that were asked for."
    )
    groups: list[GroupPlan] = Field(description="Empty if the architecture is not known.")


class ExtentPlan(BaseModel):
    """The amount of work. null: batch size or epochs are decided during the training."""

    epochs: int = Field(description="Number of the last epoch.")
    first_epoch: int = Field(
        default=1, description="First epoch trained; above 1 if the job extends another one."
    )
    training_images: int = Field(description="Images used in each epoch, after `fraction`.")
    validation_images: int
    images: dict[str, int] = Field(description="Images in the dataset, by split.")
    batches_per_epoch: int | None
    accumulate: int | None = Field(description="Batches per optimizer step after the warm-up.")
    optimizer_steps: int | None = Field(description="Optimizer steps in all epochs trained.")
    warmup_batches: int | None = Field(description="Batches until the warm-up ends.")


class JointRate(BaseModel):
    """A learning rate before and after the joint."""

    name: str = Field(description="Name of the group, as in `optimizer.groups`.")
    before: float | None = Field(
        description="Rate that the parent recorded at the end of its last epoch that counts. "
        "null: no longer known."
    )
    after: float | None = Field(
        description="Rate at the end of the next epoch, by the new schedule. null: not known yet."
    )


class JointPlan(BaseModel):
    """How a job continues the training of its parent."""

    job: str = Field(description="The parent job.")
    epoch: int = Field(description="Epoch of the training state. Training continues after it.")
    epochs_trained: int = Field(
        description="Number of epochs from the one after `epoch` to the last."
    )
    epochs_redone: int = Field(
        description="How many of these the parent had already finished after its training state."
    )
    mosaic_closes: int | None = Field(
        description="First epoch without mosaic and mixing. null: none, or the task has no mosaic."
    )
    earliest_stop: int | None = Field(
        description="First epoch after which `patience`, counted from `epoch`, can end the "
        "training. null: not before the last epoch."
    )
    rates: list[JointRate] = Field(description="The rates of each optimizer group.")


class EstimatePlan(BaseModel):
    """The estimated duration, from similar past jobs."""

    seconds: float | None = Field(description="Duration of all epochs trained. null: see `note`.")
    epoch_seconds: float | None
    device: str | None = Field(description="The device of those jobs.")
    jobs: list[str] = Field(description="The past jobs: same architecture, image size and device.")
    note: str | None = Field(description="Why there is no estimate, or how it was made.")


class SwitchedOn(BaseModel):
    """A feature that another part of the spec requires and therefore switched on."""

    field: str = Field(description="JSON pointer to the feature that is on.")
    because: str = Field(description="JSON pointer to the field that requires it.")


class PlanWarning(BaseModel):
    """A possible mistake. The job is valid and runs."""

    code: WarningCode
    pointer: str | None = Field(description="JSON pointer to the field that causes it.")
    message: str


class StoredPlan(BaseModel):
    """A plan without the resolved spec, which is stored with the job itself."""

    model: ModelPlan | None = Field(description="null: the architecture is not known.")
    classes: ClassesPlan
    optimizer: OptimizerPlan
    extent: ExtentPlan
    joint: JointPlan | None = Field(
        default=None, description="null: the job does not extend another one."
    )
    estimate: EstimatePlan
    switched_on: list[SwitchedOn]
    warnings: list[PlanWarning]


class PlanView(StoredPlan):
    """What a job will do, as far as this is known before it runs."""

    resolved: dict[str, JsonValue] = Field(
        description="The spec with all defaults filled in. "
        f"`class_weights` has the first {MAX_WEIGHTS_SHOWN} classes."
    )

    @classmethod
    def of(cls, plan: StoredPlan, resolved: ResolvedSpec) -> Self:
        """Return the plan of a spec that is not stored."""
        return cls(**dict(plan), resolved=shown_spec(resolved.model_dump(mode="json")))

    @classmethod
    def stored(cls, row: JobPlan, job: Job) -> Self:
        """Return the plan that was made when the job was submitted."""
        return cls.model_validate({**row.plan, "resolved": shown_spec(job.resolved_spec)})


def shown_spec(resolved: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return a resolved spec with the weights of the first classes only: there can be very many."""
    weights = resolved.get("class_weights")
    if weights is None or len(weights) <= MAX_WEIGHTS_SHOWN:
        return dict(resolved)
    return {**resolved, "class_weights": dict(islice(weights.items(), MAX_WEIGHTS_SHOWN))}
