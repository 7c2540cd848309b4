"""The JSON representations of samples, statistics and duplicates."""

from collections.abc import Sequence
from typing import Final, Literal, Self

from pydantic import BaseModel, Field

from app.core.class_weights import balanced_weights, inverse_frequency
from app.core.pages import Page
from app.core.path_prefix import link
from app.datasets.overview_reader import NumberedSample
from app.datasets.reports.overview import (
    DuplicateGroup,
    SampleObject,
    StoredSample,
    StoredStatistics,
)
from app.datasets.reports.report import Split
from app.datasets.repository import ListedDataset
from app.datasets.tables import DatasetVersion, VersionState

Reason = Literal["validating", "invalid", "earlier_release"]

AVAILABLE: Final = Field(description="false: there is nothing to show; `reason` tells why.")
REASON: Final = Field(
    description="validating: the version is not verified yet. invalid: it is not stored. "
    "earlier_release: it was verified by a release that recorded nothing to show; read it again "
    "with `POST /v1/datasets/{id}/versions`. null: it is available."
)


def reason_of(version: DatasetVersion) -> Reason | None:
    """Return why a version has no overview; None if it has one."""
    match version.state:
        case VersionState.VALIDATING:
            return "validating"
        case VersionState.INVALID:
            return "invalid"
        case _:
            return None if version.overview_sha256 else "earlier_release"


class PreviewView(BaseModel):
    """A small JPEG of an image; its size is in pixels."""

    href: str = Field(
        description="Path of the JPEG.",
        examples=["/v1/datasets/dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7/previews/0"],
    )
    width: int = Field(description="Width in pixels.", examples=[320])
    height: int = Field(description="Height in pixels.", examples=[180])


class SampleView(BaseModel):
    """One image with its objects, as the labels were verified."""

    file: str = Field(
        description="Path of the image in the dataset.", examples=["images/train/0042.jpg"]
    )
    split: Split = Field(description="The split that has the image.")
    width: int = Field(description="Width of the image in pixels.", examples=[1920])
    height: int = Field(description="Height of the image in pixels.", examples=[1080])
    preview: PreviewView = Field(description="A small JPEG of the image.")
    objects_total: int = Field(
        description="Number of objects, including those left out.", examples=[1]
    )
    objects: list[SampleObject] = Field(description="Objects of the image.")

    @classmethod
    def of(cls, numbered: NumberedSample, version_id: str) -> Self:
        """Return the view of one sample of a version."""
        stored: StoredSample = numbered.sample
        preview = PreviewView(
            href=link(f"/v1/datasets/{version_id}/previews/{numbered.number}"),
            width=stored.preview_width,
            height=stored.preview_height,
        )
        return cls(
            file=stored.file,
            split=stored.split,
            width=stored.width,
            height=stored.height,
            preview=preview,
            objects_total=stored.objects_total,
            objects=stored.objects,
        )


class SamplesView(BaseModel):
    """Some of the images that were chosen when the version was verified."""

    id: str = Field(description="Id of the dataset.", examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    version: str = Field(
        description="Id of the version.", examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    available: bool = AVAILABLE
    reason: Reason | None = REASON
    total: int = Field(
        description="Number of chosen images that fit, of which `data` has some.", examples=[120]
    )
    data: list[SampleView] = Field(description="The images.")

    @classmethod
    def of(cls, listed: ListedDataset, total: int, samples: Sequence[NumberedSample]) -> Self:
        """Return the view of the samples of a version."""
        version = listed.version
        reason = reason_of(version)
        return cls(
            id=listed.dataset.id,
            version=version.id,
            available=reason is None,
            reason=reason,
            total=total,
            data=[SampleView.of(sample, version.id) for sample in samples],
        )


class ImpliedWeights(BaseModel):
    """The class weights that `customize.class_weights` would compute from the train split."""

    inverse_frequency: dict[str, float] = Field(
        description="Of mode inverse_frequency without a cap.",
        examples=[{"scratch": 1.0, "dent": 3.2}],
    )
    balanced: dict[str, float] | None = Field(
        description="Of mode balanced with power 1. null: the mode is not for this task, counts "
        "pixels, or two classes have one name.",
        examples=[{"scratch": 0.48, "dent": 1.52}],
    )


class NamedStatistics(StoredStatistics):
    """The statistics of a version with its class names."""

    classes: list[str] = Field(
        description="Class names in class order.", examples=[["scratch", "dent"]]
    )
    implied_weights: ImpliedWeights = Field(
        description="The weights that class weights of a job would compute."
    )

    @classmethod
    def of_version(cls, version: DatasetVersion, measured: StoredStatistics) -> Self:
        """Return the statistics of a version."""
        classes = version.classes or []
        counts = dict.fromkeys(classes, 0)
        for name, count in zip(classes, measured.instances.get("train", ()), strict=False):
            counts[name] += count
        has_boxes = measured.boxes is not None and version.task != "semantic"
        balances = has_boxes and len(counts) == len(classes)
        weights = ImpliedWeights(
            inverse_frequency=inverse_frequency(counts, classes, cap=None),
            balanced=balanced_weights(counts, 1.0) if balances else None,
        )
        return cls(**dict(measured), classes=classes, implied_weights=weights)


class StatisticsView(BaseModel):
    """What was measured when the version was verified."""

    id: str = Field(description="Id of the dataset.", examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    version: str = Field(
        description="Id of the version.", examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    available: bool = AVAILABLE
    reason: Reason | None = REASON
    statistics: NamedStatistics | None = Field(description="null: not available.")

    @classmethod
    def of(cls, listed: ListedDataset, measured: StoredStatistics | None) -> Self:
        """Return the view of the statistics of a version."""
        version = listed.version
        reason = reason_of(version)
        content = None if measured is None else NamedStatistics.of_version(version, measured)
        return cls(
            id=listed.dataset.id,
            version=version.id,
            available=reason is None,
            reason=reason,
            statistics=content,
        )


class DuplicatesPage(Page[DuplicateGroup]):
    """A page of groups of duplicates: those across splits first, then the largest."""

    id: str = Field(description="Id of the dataset.", examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    version: str = Field(
        description="Id of the version.", examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    available: bool = AVAILABLE
    reason: Reason | None = REASON
    total: int = Field(description="Number of groups.", examples=[1])

    @classmethod
    def of_version(cls, listed: ListedDataset, total: int, page: Page[DuplicateGroup]) -> Self:
        """Return a page of the groups of a version."""
        version = listed.version
        reason = reason_of(version)
        return cls(
            id=listed.dataset.id,
            version=version.id,
            available=reason is None,
            reason=reason,
            total=total,
            **dict(page),
        )
