"""The training arguments that a job can set, under Ultralytics' names, with types and ranges.

Names, defaults and meaning are those of `ultralytics/cfg/default.yaml` (8.4.190); a contract test
compares them.
"""

from functools import cache
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import override

from app.core.tasks import TASKS, Task
from app.jobs.spec.base_model import SpecModel, SpecProblem, as_one_error, problems_as_error
from app.jobs.spec.refused_arguments import MEANT_AS, REFUSED_ARGUMENTS

ALL_TASKS: Final = frozenset(TASKS)

Optimizer = Literal["auto", "SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSProp"]

Share = Annotated[float, Field(ge=0, le=1)]
Gain = Annotated[float, Field(ge=0, le=1000)]

Batch = Annotated[
    Annotated[int, Field(ge=1, le=4096)] | Literal[-1] | Annotated[float, Field(ge=0.1, le=0.9)],
    as_one_error(
        "batch_range",
        "Batch must be 1 to 4096 images, -1 for 60 % of the GPU's memory, "
        "or a share of that memory from 0.1 to 0.9.",
    ),
]
Precision = Annotated[
    bool | Literal["bf16"],
    as_one_error("precision", 'Precision must be true (FP16 with FP32), false (FP32) or "bf16".'),
]
ImageCache = Annotated[
    bool | Literal["disk"],
    as_one_error("image_cache", 'Cache must be true (in memory), false or "disk".'),
]
DataFraction = Annotated[
    Annotated[int, Field(ge=1, le=100_000_000)] | Annotated[float, Field(gt=0, le=1)],
    as_one_error(
        "fraction_range", "Fraction must be a share above 0 up to 1, or a number of images."
    ),
]
Scale = Annotated[
    Share
    | Annotated[
        tuple[Annotated[float, Field(gt=0, le=10)], Annotated[float, Field(gt=0, le=10)]],
        Strict(strict=False),
    ],
    as_one_error(
        "scale_range",
        "Scale must be a share from 0 to 1, or a pair [smallest, largest] above 0 up to 10.",
    ),
]


class TrainArguments(SpecModel):
    """The training arguments.

    Only fields that were set are stored, shown and passed on. The rest are Ultralytics' defaults.
    """

    refusals = REFUSED_ARGUMENTS
    meant_as = MEANT_AS

    epochs: int = Field(default=100, ge=1, le=100_000, description="Number of epochs.")
    time: float | None = Field(
        default=None,
        gt=0,
        le=8760,
        description="Hours to train: epochs are re-estimated to fit. "
        "A restart starts the count again (see timeout_hours).",
        examples=[2.5],
    )
    patience: int = Field(
        default=100,
        ge=0,
        le=100_000,
        description="Stop after this many epochs without a better fitness. 0 never stops.",
    )
    batch: Batch = Field(
        default=16,
        description="Images per batch. -1 uses 60 % of the GPU's memory, "
        "0.1 to 0.9 that share of it.",
    )
    imgsz: int = Field(
        default=640,
        ge=32,
        le=4096,
        description="Image side in pixels, rounded up to a multiple of the stride (32).",
    )
    cache: ImageCache = Field(
        default=False,
        description="Keep the decoded images in memory (true), or read them from arrays that the "
        'worker makes once per dataset version ("disk").',
    )
    loader_workers: int = Field(
        default=8,
        ge=0,
        le=64,
        description="Processes that load images (Ultralytics: workers). A CPU slot uses 0.",
    )
    cls_remap: bool = Field(
        default=True,
        description="Reuse the class outputs of pretrained weights, matched by class name.",
    )
    optimizer: Optimizer = Field(
        default="auto",
        description="auto chooses AdamW or MuSGD, together with lr0, momentum and warmup_bias_lr.",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Seed of all random numbers.")
    deterministic: bool = Field(
        default=True, description="Use deterministic operations: repeatable, possibly slower."
    )
    single_cls: bool = Field(default=False, description="Treat all classes as one.")
    rect: bool = Field(
        default=False, description="Batch images of similar shape, without mosaic and mixing."
    )
    cos_lr: bool = Field(
        default=False, description="Lower the learning rate along a cosine instead of a line."
    )
    close_mosaic: int = Field(
        default=10,
        ge=0,
        le=100_000,
        description="Disable mosaic and mixing for the last N epochs; 0 never disables them.",
    )
    amp: Precision = Field(
        default=True, description="Mixed precision on a GPU: true (FP16), bf16, or false (FP32)."
    )
    fraction: DataFraction = Field(
        default=1.0,
        description="Share of the training images to use, or their number if above 1.",
    )
    multi_scale: float = Field(
        default=0.0,
        ge=0,
        le=0.9,
        description="Vary the image side by up to this share, per batch.",
    )
    channels_last: bool | None = Field(
        default=None, description="Memory layout NHWC on a GPU. null: where it is known to help."
    )

    overlap_mask: bool = Field(
        default=True, description="Merge the instance masks of an image into one."
    )
    mask_ratio: int = Field(
        default=4, ge=1, le=32, description="Downsampling of the training masks."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout before the classification layer."
    )

    split: Literal["val", "test"] = Field(
        default="val", description="Split of the dataset to validate on."
    )
    conf: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Lowest confidence in validation. null: 0.001, or 0.01 for obb.",
        examples=[0.001],
    )
    iou: Share = Field(
        default=0.7, description="Overlap above which non-maximum suppression drops a box."
    )
    max_det: int = Field(
        default=300, ge=1, le=100_000, description="Maximum number of objects per image."
    )
    nms: bool | None = Field(
        default=None, description="false: validate with the NMS-free head, if the model has one."
    )
    agnostic_nms: bool = Field(
        default=False, description="Suppress overlapping boxes of different classes too."
    )
    plots: bool = Field(default=True, description="Draw curves and sample images.")

    lr0: float = Field(
        default=0.01, gt=0, le=1, description="Initial learning rate. Requires a named optimizer."
    )
    lrf: Share = Field(default=0.01, description="Final learning rate as a share of lr0.")
    momentum: float = Field(
        default=0.937,
        ge=0,
        lt=1,
        description="SGD momentum or Adam's beta1. Requires a named optimizer.",
    )
    weight_decay: Share = Field(default=0.0005, description="L2 regularization.")
    warmup_epochs: float = Field(
        default=3.0, ge=0, le=1000, description="Epochs of warm-up; fractions are allowed."
    )
    warmup_momentum: float = Field(
        default=0.8, ge=0, lt=1, description="Momentum at the start of the warm-up."
    )
    warmup_bias_lr: Share = Field(
        default=0.1,
        description="Learning rate of biases at the start of the warm-up. "
        "Requires a named optimizer.",
    )
    nbs: int = Field(
        default=64,
        ge=1,
        le=65_536,
        description="Nominal batch size: gradients accumulate over round(nbs / batch) batches.",
    )

    box: Gain = Field(default=7.5, description="Weight of the box loss.")
    cls: Gain = Field(default=0.5, description="Weight of the classification loss.")
    dfl: Gain = Field(default=1.5, description="Weight of the distance loss (DFL; L1 on YOLO26).")
    pose: Gain = Field(default=12.0, description="Weight of the keypoint loss.")
    kobj: Gain = Field(default=1.0, description="Weight of the keypoint visibility loss.")
    rle: Gain = Field(
        default=1.0, description="Weight of the residual log-likelihood loss (YOLO26)."
    )
    angle: Gain = Field(default=1.0, description="Weight of the angle loss.")
    dlog: Gain = Field(default=1.0, description="Weight of the logarithmic depth loss.")
    dgrad: Gain = Field(default=0.5, description="Weight of the depth gradient loss.")
    dlam: Share = Field(
        default=1.0, description="Scale invariance of the depth loss: 1 full, 0 plain log-RMSE."
    )

    hsv_h: Share = Field(default=0.015, description="Largest change of hue, as a share.")
    hsv_s: Share = Field(default=0.7, description="Largest change of saturation, as a share.")
    hsv_v: Share = Field(default=0.4, description="Largest change of brightness, as a share.")
    degrees: float = Field(
        default=0.0, ge=0, le=180, description="Largest rotation, degrees to either side."
    )
    translate: Share = Field(default=0.1, description="Largest shift, as a share of the image.")
    scale: Scale = Field(
        default=0.5, description="Largest change of size to either side, or a pair [min, max]."
    )
    shear: float = Field(
        default=0.0, ge=0, le=80, description="Largest shear, degrees to either side."
    )
    perspective: float = Field(
        default=0.0, ge=0, le=0.001, description="Largest change of perspective."
    )
    flipud: Share = Field(default=0.0, description="Probability of a flip upside down.")
    fliplr: Share = Field(default=0.5, description="Probability of a flip left to right.")
    bgr: Share = Field(default=0.0, description="Probability of swapping red and blue.")
    mosaic: Share = Field(default=1.0, description="Probability of a mosaic of four images.")
    mixup: Share = Field(default=0.0, description="Probability of blending two images.")
    cutmix: Share = Field(
        default=0.0, description="Probability of pasting a part of another image."
    )
    copy_paste: Share = Field(default=0.0, description="Share of objects to paste a second time.")
    copy_paste_mode: Literal["flip", "mixup"] = Field(
        default="flip", description="Source of the pasted objects."
    )
    auto_augment: Literal["randaugment", "autoaugment", "augmix"] | None = Field(
        default="randaugment", description="Augmentation policy. null: none."
    )
    erasing: Share = Field(default=0.4, description="Probability of erasing a part of the image.")

    @model_validator(mode="after")
    def _auto_optimizer_chooses_alone(self) -> Self:
        """Refuse arguments that `auto` ignores (Ultralytics 8.4.190, trainer.py:1173-1180).

        The default value is accepted: programs send it without meaning anything by it.
        """
        if self.optimizer != "auto":
            return self
        fields = type(self).model_fields
        ignored = [name for name in _CHOSEN_BY_AUTO if getattr(self, name) != fields[name].default]
        if ignored:
            message = (
                'The optimizer "auto" (the default) chooses this value and would ignore yours: '
                'set "optimizer".'
            )
            raise problems_as_error(
                type(self).__name__,
                [SpecProblem((name,), "ignored_by_auto_optimizer", message) for name in ignored],
            )
        return self

    @model_serializer(mode="wrap")
    def _serialize_set_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write only the fields that were set, so that they read back as the same arguments."""
        return {
            name: value for name, value in handler(self).items() if name in self.model_fields_set
        }

    @override
    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe responses like requests; the serializer above would leave a bare object."""
        return handler(_without_serializer(schema))

    def effective(self, task: Task) -> "TrainArguments":
        """Return the arguments with every value that applies to the task set, defaults included.

        Values that `optimizer: auto` decides during the training stay unset.
        """
        unknown_yet = _CHOSEN_BY_AUTO if self.optimizer == "auto" else ()
        return TrainArguments(
            **{name: getattr(self, name) for name in arguments_of(task) if name not in unknown_yet}
        )

    def to_ultralytics(self) -> dict[str, object]:
        """Return the set fields as overrides for an Ultralytics trainer, under its names."""
        return {
            ULTRALYTICS_NAMES.get(name, name): _as_ultralytics(getattr(self, name))
            for name in TrainArguments.model_fields
            if name in self.model_fields_set
        }


ULTRALYTICS_NAMES: Final = {"loader_workers": "workers"}

_CHOSEN_BY_AUTO: Final = ("lr0", "momentum", "warmup_bias_lr")

_WITH_BOXES: Final[frozenset[Task]] = frozenset({"detect", "segment", "pose", "obb"})
_WITH_MOSAIC: Final[frozenset[Task]] = _WITH_BOXES | {"semantic"}
_WITH_WARPING: Final[frozenset[Task]] = ALL_TASKS - {"classify"}
_SEGMENT: Final[frozenset[Task]] = frozenset({"segment"})
_POSE: Final[frozenset[Task]] = frozenset({"pose"})
_OBB: Final[frozenset[Task]] = frozenset({"obb"})
_DEPTH: Final[frozenset[Task]] = frozenset({"depth"})
_CLASSIFY: Final[frozenset[Task]] = frozenset({"classify"})
_WITH_COPY_PASTE: Final[frozenset[Task]] = frozenset({"segment", "obb", "semantic"})

# Ultralytics reads these for the named tasks. For others it ignores them or fails.
TASKS_OF_ARGUMENT: Final[dict[str, frozenset[Task]]] = {
    **dict.fromkeys(
        ("box", "cls", "dfl", "single_cls", "conf", "iou", "max_det", "nms", "agnostic_nms"),
        _WITH_BOXES,
    ),
    **dict.fromkeys(("mosaic", "mixup", "cutmix", "close_mosaic"), _WITH_MOSAIC),
    **dict.fromkeys(("copy_paste", "copy_paste_mode"), _WITH_COPY_PASTE),
    **dict.fromkeys(
        ("degrees", "translate", "shear", "perspective", "bgr", "multi_scale", "rect"),
        _WITH_WARPING,
    ),
    "cls_remap": _WITH_MOSAIC,
    **dict.fromkeys(("overlap_mask", "mask_ratio"), _SEGMENT),
    **dict.fromkeys(("pose", "kobj", "rle"), _POSE),
    "angle": _OBB,
    **dict.fromkeys(("dlog", "dgrad", "dlam"), _DEPTH),
    **dict.fromkeys(("dropout", "auto_augment", "erasing"), _CLASSIFY),
}


def tasks_of(name: str) -> frozenset[Task]:
    """Return the tasks that the argument applies to."""
    return TASKS_OF_ARGUMENT.get(name, ALL_TASKS)


@cache  # every submit asks it for each argument
def arguments_of(task: Task) -> tuple[str, ...]:
    """Return the arguments that apply to a task."""
    return tuple(name for name in TrainArguments.model_fields if task in tasks_of(name))


def check_task(train: TrainArguments, task: Task) -> list[SpecProblem]:
    """Return a problem for each argument that was changed and does not apply to the task.

    Programs send default values without meaning anything by it. `loc` is relative to `train`.
    """
    misplaced = train.model_fields_set.difference(arguments_of(task))
    fields = TrainArguments.model_fields
    return [
        SpecProblem(
            (name,),
            "not_for_this_task",
            f"This argument does not apply to {task}, only to {', '.join(sorted(tasks_of(name)))}.",
        )
        for name, field in fields.items()
        if name in misplaced and getattr(train, name) != field.default
    ]


def _without_serializer(schema: Any) -> Any:  # noqa: ANN401 - a core schema of any kind
    """Return the schema without the serializer of the model inside its validators."""
    if schema["type"] != "model":
        return {**schema, "schema": _without_serializer(schema["schema"])}
    return {key: part for key, part in schema.items() if key != "serialization"}


def _as_ultralytics(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
