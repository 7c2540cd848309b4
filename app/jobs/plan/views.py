"""The JSON of a plan: what a job will do, told before a GPU is used, and kept with the job."""

from typing import Final, Literal, Self

from pydantic import BaseModel, Field, JsonValue

from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.tables import Job, JobPlan

MAX_CLASSES_SHOWN: Final = 1000

WarningCode = Literal[
    "architecture_unknown",
    "batch_above_training_set",
    "batch_chosen_by_gpu",
    "bound_never_met",
    "class_without_training_labels",
    "class_without_validation_labels",
    "close_mosaic_covers_all",
    "factor_after_unfreezing",
    "factor_of_frozen_layers",
    "few_optimizer_steps",
    "freeze_covers_all",
    "layer_lr_overridden",
    "no_live_slot",
    "optimizer_chosen",
    "patience_within_freeze",
    "plugin_may_differ",
    "time_sets_epochs",
]


class LayerPlan(BaseModel):
    """One layer of the model."""

    index: int = Field(description="From 0.")
    module: str = Field(description="Its class in Ultralytics or torch.")
    parameters: int = Field(description="Numbers in its parameters.")
    frozen_until: int | None = Field(
        description="Frozen in epochs 1 to this one, the last epoch where for good; "
        "null: learns from the first on."
    )
    lr_factor: float = Field(description="Of the rates of its optimizer groups.")


class ModelPlan(BaseModel):
    """The model's layers, and how much of it learns."""

    architecture: str
    backbone_layers: int = Field(description="Layers that `backbone` means: the first ones.")
    parameters: int
    trainable_at_start: int = Field(description="Parameters that learn in the first epoch.")
    trainable_at_end: int = Field(description="Parameters that learn in the last epoch.")
    layers: list[LayerPlan]


class ClassPlan(BaseModel):
    """One class, in the order of the data set."""

    name: str
    training_labels: int | None = Field(description="In the whole split; null: not counted.")
    validation_labels: int | None = Field(description="Likewise.")
    weight: float | None = Field(description="In the class loss; null: known to the run alone.")


class ClassesPlan(BaseModel):
    """The classes beside their weights and labels."""

    total: int
    mode: Literal["none", "explicit", "inverse_frequency", "balanced"]
    note: str | None = Field(description="Why weights are null, or counts are not those used.")
    shown: list[ClassPlan] = Field(description=f"The first {MAX_CLASSES_SHOWN}.")


class GroupPlan(BaseModel):
    """A part of an optimizer group."""

    name: str = Field(description="lr/<part>/<group>, as the metrics of the job name it.")
    tensors: int
    parameters: int = Field(description="Numbers in them, frozen ones included.")
    weight_decay: float | None = Field(description="null: depends on a batch size not yet known.")
    lr_factor: float = Field(description="Of its part.")
    initial_rate: float = Field(description="As the optimizer is built, factor included.")
    learns_from: int | None = Field(description="First epoch in which any of it learns; or null.")
    rates: list[float] | None = Field(
        description="As recorded at the end of each of `epochs_shown`; null: not known before."
    )


class OptimizerPlan(BaseModel):
    """The optimizer and its groups, in its own order."""

    name: str = Field(description="Class of the optimizer; what `auto` chooses stands here.")
    chosen_by_auto: bool
    is_certain: bool = Field(description="false: `auto` may choose another by the GPU's batch.")
    lr0: float
    momentum: float = Field(description="Or Adam's beta1.")
    epochs_shown: list[int] = Field(description="The first, the middle and the last one trained.")
    groups: list[GroupPlan] = Field(description="None where the architecture is not known.")


class ExtentPlan(BaseModel):
    """How much is done; null: batch size or epochs are decided as it runs."""

    epochs: int = Field(description="The last one's number.")
    first_epoch: int = Field(
        default=1, description="Higher where the job goes on from another's training."
    )
    training_images: int = Field(description="Used in each epoch, after `fraction`.")
    validation_images: int
    images: dict[str, int] = Field(description="In the data set, by split.")
    batches_per_epoch: int | None
    accumulate: int | None = Field(description="Batches to a step of the optimizer, once warm.")
    optimizer_steps: int | None = Field(description="In all epochs trained.")
    warmup_batches: int | None = Field(description="Batches until the rates are the scheduled.")


class JointRate(BaseModel):
    """A rate on both sides of the joint."""

    name: str = Field(description="As in `optimizer.groups`.")
    before: float | None = Field(
        description="As the parent recorded it at the end of its last epoch that counts; "
        "null: not known any more."
    )
    after: float | None = Field(
        description="At the end of the next epoch, by the new schedule; null: not known before."
    )


class JointPlan(BaseModel):
    """How a job goes on from the training of its parent."""

    job: str = Field(description="The parent.")
    epoch: int = Field(description="Of the training state: the training goes on after it.")
    epochs_trained: int = Field(description="From the one after `epoch` to the last.")
    epochs_redone: int = Field(
        description="How many of these the parent had finished after its training state."
    )
    mosaic_closes: int | None = Field(
        description="First epoch without mosaic and mixing; null: none, or the task has neither."
    )
    earliest_stop: int | None = Field(
        description="First epoch after which `patience` may end the training, counted from "
        "`epoch`; null: not before its end."
    )
    rates: list[JointRate] = Field(description="Of each group of the optimizer.")


class EstimatePlan(BaseModel):
    """Time that the epochs may take, from jobs that were alike."""

    seconds: float | None = Field(description="Of all epochs trained; null: see `note`.")
    epoch_seconds: float | None
    device: str | None = Field(description="What those jobs trained on.")
    jobs: list[str] = Field(description="Those jobs: same architecture, image size and device.")
    note: str | None = Field(description="Why there is no estimate, or how to read it.")


class SwitchedOn(BaseModel):
    """What one part of the spec switched on for another."""

    field: str = Field(description="JSON pointer of what is on now.")
    because: str = Field(description="JSON pointer of what needs it.")


class PlanWarning(BaseModel):
    """Something that may not be meant; the job runs all the same."""

    code: WarningCode
    pointer: str | None = Field(description="JSON pointer to what it is about.")
    message: str


class StoredPlan(BaseModel):
    """All of a plan but the resolved spec, which the job has itself."""

    model: ModelPlan | None = Field(description="null: the architecture is not known.")
    classes: ClassesPlan
    optimizer: OptimizerPlan
    extent: ExtentPlan
    joint: JointPlan | None = Field(
        default=None, description="null: the job goes on from no other's training."
    )
    estimate: EstimatePlan
    switched_on: list[SwitchedOn]
    warnings: list[PlanWarning]


class PlanView(StoredPlan):
    """What a job will do, as far as it is known before it runs."""

    resolved: dict[str, JsonValue] = Field(description="The spec with everything stated.")

    @classmethod
    def of(cls, plan: StoredPlan, resolved: ResolvedSpec) -> Self:
        """Return the plan of a spec that is not stored."""
        return cls(**dict(plan), resolved=resolved.model_dump(mode="json"))

    @classmethod
    def stored(cls, row: JobPlan, job: Job) -> Self:
        """Return what was foreseen of a job as it was submitted."""
        return cls.model_validate({**row.plan, "resolved": job.resolved_spec})
