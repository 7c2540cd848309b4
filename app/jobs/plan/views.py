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

    index: int = Field(description="Counted from 0.", examples=[0])
    module: str = Field(description="The layer's class in Ultralytics or torch.", examples=["Conv"])
    parameters: int = Field(description="Number of scalar parameters.", examples=[464])
    frozen_until: int | None = Field(
        description="The last epoch in which the layer is frozen; the last epoch of all if it "
        "never learns. null: not frozen.",
        examples=[None, 10],
    )
    lr_factor: float = Field(
        description="Factor on the learning rates of its optimizer groups.", examples=[1.0]
    )


class ModelPlan(BaseModel):
    """The model's layers, and how many of its parameters are trained."""

    architecture: str = Field(
        description="The shipped yaml of the model.", examples=["yolo26n.yaml"]
    )
    backbone_layers: int = Field(
        description="Number of layers, from the first, that `backbone` selects.", examples=[11]
    )
    parameters: int = Field(description="Number of scalar parameters.", examples=[2_572_280])
    trainable_at_start: int = Field(
        description="Parameters trained in the first epoch.", examples=[2_572_280]
    )
    trainable_at_end: int = Field(
        description="Parameters trained in the last epoch.", examples=[2_572_280]
    )
    layers: list[LayerPlan] = Field(description="The layers, in order.")


class ClassPlan(BaseModel):
    """One class, in the order of the dataset."""

    name: str = Field(description="Name of the class.", examples=["scratch"])
    training_labels: int | None = Field(
        description="Labels in the whole training split. null: not counted.", examples=[812]
    )
    validation_labels: int | None = Field(
        description="Labels in the whole validation split. null: not counted.", examples=[97]
    )
    weight: float | None = Field(
        description="Weight in the class loss. null: computed by the training.", examples=[1.0]
    )


class ClassesPlan(BaseModel):
    """The classes with their weights and label counts."""

    total: int = Field(description="Number of classes.", examples=[1])
    mode: Literal["none", "explicit", "inverse_frequency", "balanced"] = Field(
        description="How the weights are given; `none`: without weights.", examples=["none"]
    )
    note: str | None = Field(
        description="Why weights are null or differ from the counts.",
        examples=[
            None,
            "Labels are counted by name and two classes share one; the training counts them.",
        ],
    )
    shown: list[ClassPlan] = Field(description=f"The first {MAX_CLASSES_SHOWN} classes.")


class GroupPlan(BaseModel):
    """A part of an optimizer group."""

    name: str = Field(
        description="lr/<part>/<group>, as in the job's metrics.", examples=["lr/all/weight"]
    )
    tensors: int = Field(description="Number of tensors.", examples=[71])
    parameters: int = Field(
        description="Scalar parameters, frozen ones included.", examples=[2_569_432]
    )
    weight_decay: float | None = Field(
        description="null: depends on a batch size that is not known yet.", examples=[0.0005]
    )
    lr_factor: float = Field(description="Factor of the part, from `layer_lrs`.", examples=[1.0])
    initial_rate: float = Field(
        description="Rate when the optimizer is built, factor included.", examples=[0.01]
    )
    learns_from: int | None = Field(
        description="First epoch in which a parameter is trained. null: never.", examples=[1]
    )
    rates: list[float] | None = Field(
        description="Rates at the end of each of `epochs_shown`. null: not known yet.",
        examples=[[0.01, 0.00505, 0.000199]],
    )


class OptimizerPlan(BaseModel):
    """The optimizer and its groups, in the optimizer's order."""

    name: str = Field(
        description="The optimizer's class, also if `auto` chose it.", examples=["SGD"]
    )
    chosen_by_auto: bool = Field(
        description="Whether `optimizer: auto` chose it.", examples=[False]
    )
    is_certain: bool = Field(
        description="false: `auto` may choose another one for the GPU's batch size."
    )
    lr0: float = Field(description="Initial learning rate.", examples=[0.01])
    momentum: float = Field(description="Momentum, or Adam's beta1.", examples=[0.937])
    epochs_shown: list[int] = Field(
        description="The first, the middle and the last epoch trained; with `rates`, the epochs "
        "that were asked for.",
        examples=[[1, 50, 100]],
    )
    groups: list[GroupPlan] = Field(description="Empty if the architecture is not known.")


class ExtentPlan(BaseModel):
    """The amount of work. null: batch size or epochs are decided during the training."""

    epochs: int = Field(description="Number of the last epoch.", examples=[100])
    first_epoch: int = Field(
        default=1, description="First epoch trained; above 1 if the job extends another one."
    )
    training_images: int = Field(
        description="Images used in each epoch, after `fraction`.", examples=[640]
    )
    validation_images: int = Field(description="Images of the validation split.", examples=[160])
    images: dict[str, int] = Field(
        description="Images in the dataset, by split.", examples=[{"train": 640, "val": 160}]
    )
    batches_per_epoch: int | None = Field(description="Batches of an epoch.", examples=[40])
    accumulate: int | None = Field(
        description="Batches per optimizer step after the warm-up.", examples=[4]
    )
    optimizer_steps: int | None = Field(
        description="Optimizer steps in all epochs trained.", examples=[1000]
    )
    warmup_batches: int | None = Field(
        description="Batches until the warm-up ends.", examples=[120]
    )


class JointRate(BaseModel):
    """A learning rate before and after the joint."""

    name: str = Field(
        description="Name of the group, as in `optimizer.groups`.", examples=["lr/all/weight"]
    )
    before: float | None = Field(
        description="Rate that the parent recorded at the end of its last epoch that counts. "
        "null: no longer known.",
        examples=[0.000199],
    )
    after: float | None = Field(
        description="Rate at the end of the next epoch, by the new schedule. null: not known yet.",
        examples=[0.00512],
    )


class JointPlan(BaseModel):
    """How a job continues the training of its parent."""

    job: str = Field(description="The parent job.", examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    epoch: int = Field(
        description="Epoch of the training state. Training continues after it.", examples=[100]
    )
    epochs_trained: int = Field(
        description="Number of epochs from the one after `epoch` to the last.", examples=[100]
    )
    epochs_redone: int = Field(
        description="How many of these the parent had already finished after its training state.",
        examples=[0],
    )
    mosaic_closes: int | None = Field(
        description="First epoch without mosaic and mixing. null: none, or the task has no mosaic.",
        examples=[191],
    )
    earliest_stop: int | None = Field(
        description="First epoch after which `patience`, counted from `epoch`, can end the "
        "training. null: not before the last epoch.",
        examples=[None, 180],
    )
    rates: list[JointRate] = Field(description="The rates of each optimizer group.")


class EstimatePlan(BaseModel):
    """The estimated duration, from similar past jobs."""

    seconds: float | None = Field(
        description="Duration of all epochs trained. null: see `note`.", examples=[1260.0]
    )
    epoch_seconds: float | None = Field(
        description="Duration of one epoch. null: see `note`.", examples=[12.6]
    )
    device: str | None = Field(
        description="The device of those jobs.", examples=["NVIDIA H100 80GB HBM3"]
    )
    jobs: list[str] = Field(
        description="The past jobs: same architecture, image size and device.",
        examples=[["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"]],
    )
    note: str | None = Field(
        description="Why there is no estimate, or how it was made.",
        examples=[None, "No similar job has run yet."],
    )


class SwitchedOn(BaseModel):
    """A feature that another part of the spec requires and therefore switched on."""

    field: str = Field(
        description="JSON pointer to the feature that is on.", examples=["/customize/metrics/f1"]
    )
    because: str = Field(
        description="JSON pointer to the field that requires it.",
        examples=["/customize/best_model/metric"],
    )


class PlanWarning(BaseModel):
    """A possible mistake. The job is valid and runs."""

    code: WarningCode = Field(
        description="Stable code of the warning.", examples=["images_dropped"]
    )
    pointer: str | None = Field(
        description="JSON pointer to the field that causes it.", examples=[None, "/train/epochs"]
    )
    message: str = Field(
        description="What may be wrong, for people.",
        examples=["The verification left out 2 images."],
    )


class StoredPlan(BaseModel):
    """A plan without the resolved spec, which is stored with the job itself."""

    model: ModelPlan | None = Field(description="null: the architecture is not known.")
    classes: ClassesPlan = Field(description="The classes of the dataset, and how they count.")
    optimizer: OptimizerPlan = Field(description="The optimizer and its groups.")
    extent: ExtentPlan = Field(description="The amount of work.")
    joint: JointPlan | None = Field(
        default=None, description="null: the job does not extend another one.", examples=[None]
    )
    estimate: EstimatePlan = Field(description="The estimated duration.")
    switched_on: list[SwitchedOn] = Field(
        description="Features that another part of the spec requires and therefore switched on.",
        examples=[[]],
    )
    warnings: list[PlanWarning] = Field(
        description="Possible mistakes. The job is valid all the same."
    )


class PlanView(StoredPlan):
    """What a job will do, as far as this is known before it runs."""

    resolved: dict[str, JsonValue] = Field(
        description="The spec with all defaults filled in. "
        f"`class_weights` has the first {MAX_WEIGHTS_SHOWN} classes.",
        examples=[
            {"dataset": "dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7", "model": "yolo26n.pt", "task": "detect"}
        ],
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
