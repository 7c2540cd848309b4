"""The JSON models of a job's worst validation images."""

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.artifacts.validation import (
    ClassErrors,
    Outcome,
    PredictedObject,
    TrueObject,
    WorstImage,
    WorstImages,
)
from app.artifacts.worst_images import PreviewPart
from app.core.pages import Page
from app.core.path_prefix import link

BOX = Field(
    description="Center x, center y, width, height as shares of the image. null: the task has "
    "`corners`, or no boxes.",
    examples=[[0.5, 0.5, 0.2, 0.1]],
)
CORNERS = Field(
    description="For obb: x and y of the four corners as shares of the image. Otherwise null.",
    examples=[None, [0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6]],
)


class _View(BaseModel):
    model_config = ConfigDict(
        serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )


class WorstPreviewView(BaseModel):
    """A small JPEG of the image. `href` names its digest, so it never changes; sizes in pixels."""

    href: str = Field(
        description="Path of the JPEG.",
        examples=[
            "/v1/jobs/job_01JZ8QD3W5X0A1B2C3D4E5F6G7/images/worst/1/preview?sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
        ],
    )
    width: int = Field(description="Width in pixels.", examples=[640])
    height: int = Field(description="Height in pixels.", examples=[480])

    @classmethod
    def of(cls, job_id: str, number: int, part: PreviewPart) -> Self:
        """Return the view of the preview of an image."""
        path = link(f"/v1/jobs/{job_id}/images/worst/{number}/preview")
        href = f"{path}?sha256={part.sha256}"
        return cls(href=href, width=part.width, height=part.height)


class ClassErrorsView(_View):
    """The errors of one class in an image; `confused` counts it as truth and as prediction."""

    class_: str = Field(alias="class", description="Name of the class.", examples=["scratch"])
    missed: int = Field(
        description="Objects of the class that no prediction matches.", examples=[2]
    )
    false: int = Field(description="Predictions of the class that match no object.", examples=[1])
    confused: int = Field(
        description="Objects or predictions of the class that match another class.", examples=[0]
    )

    @classmethod
    def of(cls, errors: ClassErrors, names: Sequence[str]) -> Self:
        """Return the view of the errors of one class."""
        return cls(
            class_=name_of(errors.class_, names),
            missed=errors.missed,
            false=errors.false,
            confused=errors.confused,
        )


class TrueObjectView(_View):
    """An object of the labels; of classify, the class of the image."""

    class_: str = Field(alias="class", description="Name of the class.", examples=["scratch"])
    box: list[float] | None = BOX
    corners: list[float] | None = CORNERS
    outcome: Outcome = Field(
        description="hit: a prediction of its class matches it. missed: no prediction matches it. "
        "confused: a prediction of another class matches it.",
        examples=["missed"],
    )
    predicted_class: str | None = Field(
        description="With `confused`: the class of its match.", examples=[None, "dent"]
    )

    @classmethod
    def of(cls, true: TrueObject, names: Sequence[str]) -> Self:
        """Return the view of one object."""
        return cls(
            class_=name_of(true.class_, names),
            box=true.box,
            corners=true.corners,
            outcome=true.outcome,
            predicted_class=None
            if true.predicted_class is None
            else name_of(true.predicted_class, names),
        )


class PredictedObjectView(_View):
    """A prediction; of classify, one of the five most likely classes."""

    class_: str = Field(alias="class", description="Name of the class.", examples=["scratch"])
    confidence: float = Field(description="Confidence of the prediction.", examples=[0.8613])
    box: list[float] | None = BOX
    corners: list[float] | None = CORNERS
    outcome: Outcome | None = Field(
        description="hit: it matches an object of its class. false: it matches none. confused: it "
        "matches an object of another class. null: of classify, not the most likely class.",
        examples=["false"],
    )
    true_class: str | None = Field(
        description="With `confused`: the class of its match.", examples=[None, "dent"]
    )

    @classmethod
    def of(cls, found: PredictedObject, names: Sequence[str]) -> Self:
        """Return the view of one prediction."""
        return cls(
            class_=name_of(found.class_, names),
            confidence=found.confidence,
            box=found.box,
            corners=found.corners,
            outcome=found.outcome,
            true_class=None if found.true_class is None else name_of(found.true_class, names),
        )


class WorstImageView(BaseModel):
    """A validation image and its errors."""

    number: int = Field(
        description="From 1, the worst image. The same under every filter.", examples=[1]
    )
    file: str = Field(
        description="Path of the image in the dataset.", examples=["images/val/0042.jpg"]
    )
    width: int | None = Field(
        description="In pixels; null: the image could not be shown.", examples=[1920]
    )
    height: int | None = Field(description="As `width`.", examples=[1080])
    badness: float = Field(
        description="Boxes: missed + confused + the sum of the confidences of false predictions. "
        "classify: 1 minus the probability of the true class. semantic: 1 minus the mean IoU of "
        "the classes in labels or prediction. depth: the absolute relative error.",
        examples=[3.74],
    )
    missed: int = Field(description="Objects that no prediction matches.", examples=[2])
    false: int = Field(description="Predictions that match no object.", examples=[1])
    confused: int = Field(
        description="Objects that a prediction of another class matches.", examples=[0]
    )
    classes: list[ClassErrorsView] = Field(
        description="Errors by class, the most first; at most 100 classes."
    )
    truths: list[TrueObjectView] = Field(
        description="Objects of the labels, errors first; at most 100."
    )
    truths_total: int = Field(
        description="Number of objects of the labels, including those left out.", examples=[4]
    )
    predictions: list[PredictedObjectView] = Field(
        description="Predictions above `conf`, errors first; at most 100."
    )
    predictions_total: int = Field(
        description="Number of predictions above `conf`, including those left out.", examples=[3]
    )
    scores: dict[str, float] = Field(
        description="classify: true_probability. semantic: mean_iou. depth: abs_rel, rmse, delta1.",
        examples=[{}],
    )
    preview: WorstPreviewView | None = Field(description="null: it could not be made.")

    @classmethod
    def of(
        cls,
        image: WorstImage,
        names: Sequence[str],
        *,
        number: int,
        preview: WorstPreviewView | None,
    ) -> Self:
        """Return the view of one image."""
        return cls(
            number=number,
            file=image.file,
            width=image.width,
            height=image.height,
            badness=image.badness,
            missed=image.missed,
            false=image.false,
            confused=image.confused,
            classes=[ClassErrorsView.of(each, names) for each in image.classes],
            truths=[TrueObjectView.of(each, names) for each in image.truths],
            truths_total=image.truths_total,
            predictions=[PredictedObjectView.of(each, names) for each in image.predictions],
            predictions_total=image.predictions_total,
            scores=image.scores,
            preview=preview,
        )


class WorstImagesPage(Page[WorstImageView]):
    """A page of the worst validation images of best.pt, the worst first."""

    conf: float | None = Field(
        description="Predictions above this confidence count. null: the task has no boxes.",
        examples=[0.25],
    )
    iou: float | None = Field(
        description="A prediction matches an object that it overlaps by more. null: as `conf`.",
        examples=[0.5],
    )
    images_total: int = Field(description="Number of validation images.", examples=[800])
    total: int = Field(
        description="Number of images under these filters, of at most 100.", examples=[100]
    )

    @classmethod
    def of_worst(cls, worst: WorstImages, total: int, page: Page[WorstImageView]) -> Self:
        """Return a page of some of the images."""
        return cls(
            conf=worst.conf,
            iou=worst.iou,
            images_total=worst.images_total,
            total=total,
            **dict(page),
        )


def name_of(number: int, names: Sequence[str]) -> str:
    """Return the name of a class; its number, if the dataset has no such class."""
    return names[number] if number < len(names) else str(number)
