"""What the final validation of best.pt shows, as data: curves, confusion matrix, worst images.

A trainer writes `Curves` and `WorstImages` as JSON files, with classes as numbers. The worker reads
them as it reads everything of a trainer: what these models accept is bounded and can be stored. It
imports only pydantic, since the trainer imports it too.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FULL_POINTS: Final = 1000
"""Points of a curve as Ultralytics computes it (8.4.190, metrics.py:847)."""
FEW_POINTS: Final = 101
FULL_CLASSES: Final = 20
"""With more classes, curves have `FEW_POINTS` of these points."""
MOST_CURVES: Final = 200
"""Classes with curves: those with the most objects in the labels."""
DENSE_CLASSES: Final = 100
"""With more classes, a confusion matrix is a list of its largest cells."""
MOST_MATRIX_CLASSES: Final = 1000
"""Classes of a confusion matrix: those with the most objects in the labels."""
MOST_CELLS: Final = 10_000
CURVES_BYTES: Final = 8 * 1024**2
"""The largest JSON of curves: 200 classes of 101 points in eight curves take 1.5 MB."""

MOST_WORST: Final = 100
MOST_OBJECTS: Final = 100
"""Listed truths, and listed predictions, of one image; errors come first."""
MOST_CLASSES_OF_IMAGE: Final = 100
WORST_BYTES: Final = 8 * 1024**2
"""The largest JSON of worst images: 100 images with 200 objects take 2.5 MB."""
LARGEST_COUNT: Final = 2**53
LONGEST_CLASS_NAME: Final = 1000
BACKGROUND: Final = "background"
SINGLE_CLASS: Final = ("item",)
"""The name of the class that Ultralytics makes of all classes (8.4.190, engine/trainer.py:703)."""

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
ClassName = Annotated[str, Field(max_length=LONGEST_CLASS_NAME)]
ClassNumber = Annotated[int, Field(ge=0, lt=100_000)]
Coordinate = Annotated[float, Field(ge=-100, le=100)]
Outcome = Literal["hit", "missed", "false", "confused"]
Kind = Literal["missed", "false", "confused"]
Box = Annotated[list[Coordinate], Field(min_length=4, max_length=4)]
Corners = Annotated[list[Coordinate], Field(min_length=8, max_length=8)]


class _Stored(BaseModel):
    """Base of the models: frozen, without extra fields, and without NaN or infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True
    )


class Curve(_Stored):
    """One value for each `x`: of each class, and the mean over all classes."""

    x: list[Share] = Field(
        max_length=FULL_POINTS, description="Recall, or confidence.", examples=[[0.0, 0.5, 1.0]]
    )
    mean: list[Share | None] = Field(
        max_length=FULL_POINTS,
        description="Mean over all classes that the labels have.",
        examples=[[0.98, 0.81, 0.0]],
    )
    classes: dict[ClassName, list[Share | None]] = Field(
        max_length=MOST_CURVES,
        description="By class. Classes without an object in the labels are left out.",
        examples=[{"scratch": [0.97, 0.78, 0.0]}],
    )

    @model_validator(mode="after")
    def _has_one_value_for_each_x(self) -> Self:
        if any(len(values) != len(self.x) for values in (self.mean, *self.classes.values())):
            raise ValueError("a curve needs one value for each x")
        return self


class CurveSet(_Stored):
    """The curves of boxes, masks or key points, as Ultralytics computes them at an IoU of 0.5."""

    pr: Curve = Field(description="Precision by recall.")
    f1: Curve = Field(description="F1 by confidence.")
    precision: Curve = Field(description="Precision by confidence.")
    recall: Curve = Field(description="Recall by confidence.")


class Confusion(_Stored):
    """Counts by predicted class (rows) and true class (columns)."""

    unit: Literal["objects", "images", "pixels"] = Field(
        description="What is counted.", examples=["objects"]
    )
    conf: Share | None = Field(
        description="Predictions above this confidence count; null: all.", examples=[0.25]
    )
    iou: Share | None = Field(
        description="A prediction counts for a truth that it overlaps by more; null: no boxes.",
        examples=[0.45],
    )
    names: list[ClassName] = Field(
        max_length=MOST_MATRIX_CLASSES + 1,
        description="The classes of rows and columns. `background`, the last one where there are "
        "boxes: a truth that was missed, or a prediction without a truth.",
        examples=[["scratch", "background"]],
    )
    matrix: list[Annotated[list[Count], Field(max_length=DENSE_CLASSES + 1)]] | None = Field(
        max_length=DENSE_CLASSES + 1,
        description=f"All counts. null: there are more than {DENSE_CLASSES} classes, see `cells`.",
        examples=[[[37, 4], [6, 0]]],
    )
    cells: list[tuple[Count, Count, Count]] | None = Field(
        max_length=MOST_CELLS,
        description="The largest cells, largest first: row, column, count. null: see `matrix`.",
        examples=[None, [[0, 0, 37]]],
    )
    cells_left_out: Count = Field(description="Further cells that are not zero.", examples=[0])

    @model_validator(mode="after")
    def _fits_its_names(self) -> Self:
        size, rows = len(self.names), self.matrix or []
        if self.matrix is not None and {size} != {len(rows), *map(len, rows)}:
            raise ValueError("a matrix needs one row and one column for each name")
        if any(row >= size or column >= size for row, column, _ in self.cells or ()):
            raise ValueError("a cell needs the numbers of two names")
        return self


class Accuracy(_Stored):
    """The share of images whose class is the most likely one, or one of the five most likely."""

    top1: Share = Field(
        description="Share of images whose class is the most likely one.", examples=[0.9125]
    )
    top5: Share = Field(
        description="Share of images whose class is one of the five most likely.", examples=[0.9938]
    )


class Curves(_Stored):
    """What the final validation of best.pt computed; null: Ultralytics computes none for the task.

    Curves have 1,000 points for up to 20 classes, and 101 of these for more.
    """

    pr: Curve | None = Field(default=None, description="Of boxes: precision by recall.")
    f1: Curve | None = Field(default=None, description="Of boxes: F1 by confidence.")
    precision: Curve | None = Field(default=None, description="Of boxes: precision by confidence.")
    recall: Curve | None = Field(default=None, description="Of boxes: recall by confidence.")
    masks: CurveSet | None = Field(
        default=None, description="The same of masks, for segment.", examples=[None]
    )
    pose: CurveSet | None = Field(
        default=None, description="The same of key points, for pose.", examples=[None]
    )
    confusion: Confusion | None = Field(
        default=None, description="Counts by predicted and true class. null: not of this task."
    )
    accuracy: Accuracy | None = Field(default=None, description="For classify.", examples=[None])
    classes_total: Count = Field(
        description=f"Number of classes. The {MOST_CURVES} with the most objects in the labels "
        f"have curves, and the {MOST_MATRIX_CLASSES} with the most are in the confusion matrix.",
        examples=[1],
    )

    def named(self, names: Sequence[str]) -> Self:
        """Return the same with names in place of the numbers of classes.

        Raises:
            ValueError: a class is not in `names`.
        """
        content = self.model_dump()
        parts = [content, *(content[part] for part in ("masks", "pose") if content[part])]
        for part in parts:
            for key in CurveSet.model_fields:
                if part[key] is not None:
                    part[key]["classes"] = _with_names(part[key]["classes"], names)
        if content["confusion"] is not None:
            numbers = content["confusion"]["names"]
            content["confusion"]["names"] = [_name_of(number, names) for number in numbers]
        return type(self).model_validate(content)


class TrueObject(_Stored):
    """An object of the labels."""

    class_: ClassNumber = Field(alias="class")
    box: Box | None = None
    corners: Corners | None = None
    outcome: Outcome
    predicted_class: ClassNumber | None = None


class PredictedObject(_Stored):
    """A prediction."""

    class_: ClassNumber = Field(alias="class")
    confidence: Share
    box: Box | None = None
    corners: Corners | None = None
    outcome: Outcome | None
    true_class: ClassNumber | None = None


class ClassErrors(_Stored):
    """The errors of one class in an image; `confused` counts it as truth and as prediction."""

    class_: ClassNumber = Field(alias="class")
    missed: Count = 0
    false: Count = 0
    confused: Count = 0


class WorstImage(_Stored):
    """One image: how bad it is, and why. `width` and `height` are in pixels; None: not known."""

    file: str = Field(min_length=1, max_length=512)
    width: int | None = Field(default=None, gt=0, le=10**6)
    height: int | None = Field(default=None, gt=0, le=10**6)
    badness: float = Field(ge=0, le=10**9)
    missed: Count = 0
    false: Count = 0
    confused: Count = 0
    classes: list[ClassErrors] = Field(default=[], max_length=MOST_CLASSES_OF_IMAGE)
    truths: list[TrueObject] = Field(default=[], max_length=MOST_OBJECTS)
    truths_total: Count = 0
    predictions: list[PredictedObject] = Field(default=[], max_length=MOST_OBJECTS)
    predictions_total: Count = 0
    scores: dict[Annotated[str, Field(max_length=40)], float] = Field(default={}, max_length=10)

    def has(self, class_number: int | None, kind: Kind | None) -> bool:
        """Return whether the image has an error of a class and kind; None: of any."""
        if class_number is None:
            return kind is None or getattr(self, kind) > 0
        kinds: Sequence[Kind] = ("missed", "false", "confused") if kind is None else (kind,)
        return any(
            getattr(errors, each) > 0
            for errors in self.classes
            if errors.class_ == class_number
            for each in kinds
        )


class WorstImages(_Stored):
    """The worst validation images of best.pt, the worst first."""

    conf: Share | None = Field(description="Predictions above this confidence count; None: all.")
    iou: Share | None = Field(description="A match overlaps by more; None: there are no boxes.")
    images_total: Count
    images: list[WorstImage] = Field(max_length=MOST_WORST)


def _with_names(by_number: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the values by name; a name that several classes have gets their numbers."""
    named: dict[str, Any] = {}
    for number, values in by_number.items():
        name = _name_of(number, names)
        named[f"{name} ({number})" if name in named else name] = values
    return named


def _name_of(number: str, names: Sequence[str]) -> str:
    if number == BACKGROUND:
        return number
    if not (number.isdecimal() and number.isascii() and int(number) < len(names)):
        raise ValueError(f"there is no class {number[:20]}")
    return names[int(number)]
