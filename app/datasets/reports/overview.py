"""The overview of a ready version: one file with what a person looks at.

    header (1 KiB of JSON) | previews and samples | statistics | duplicates | index of the samples

The verification process writes it, and the server reads the parts that a request needs. Every part
but the previews is JSON; samples and duplicates have one document per line.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.datasets.reports.report import Split

OVERVIEW_NAME: Final = "overview.bin"
HEADER_BYTES: Final = 1024
MAX_FILES_OF_GROUP: Final = 50
MAX_EMPTY_SHOWN: Final = 100
GRID_SIDE: Final = 16


class Part(BaseModel):
    """Where a part lies in the file."""

    model_config = ConfigDict(frozen=True)

    offset: int
    size: int


class Groups(Part):
    """A part with groups of duplicates, and how many groups it has."""

    groups: int


class OverviewHeader(BaseModel):
    """Where the parts lie. The file starts with it, padded with spaces to `HEADER_BYTES`."""

    format: Literal[1] = 1
    index: Part
    statistics: Part
    exact: Groups
    near: Groups


class SampleEntry(BaseModel):
    """One image in the index: where its sample and its preview lie, and what it is chosen by."""

    split: Split
    classes: list[int]
    sample: Part
    preview: Part


class SampleIndex(BaseModel):
    """The images that can be shown, in training order; their numbers count from 0."""

    entries: list[SampleEntry]


class SampleObject(BaseModel):
    """One object of an image. All coordinates are fractions of its width and height.

    A detect or pose dataset has `box`, segment and semantic have `polygon`, obb has `corners`.
    Classification and masks have the class alone.
    """

    class_number: int = Field(alias="class", description="Index of the class, from 0.")
    box: tuple[float, float, float, float] | None = Field(
        None, description="Centre x, centre y, width, height."
    )
    keypoints: list[list[float]] | None = Field(
        None, description="x and y of each keypoint, and its visibility if the dataset has it."
    )
    polygon: list[float] | None = Field(None, description="x and y of each point in turn.")
    corners: list[float] | None = Field(
        None, description="x and y of the four corners of a rotated box in turn."
    )


class StoredSample(BaseModel):
    """One image with its objects, as the labels were verified."""

    file: str = Field(description="Path of the image in the dataset.")
    split: Split
    width: int
    height: int
    preview_width: int
    preview_height: int
    objects_total: int = Field(description="Number of objects, including those left out.")
    objects: list[SampleObject]


class Histogram(BaseModel):
    """Counts of values: `counts[i]` are at least `edges[i]` and below `edges[i + 1]`.

    The first and the last count include all values beyond.
    """

    edges: list[float]
    counts: list[int]


class ImageSize(BaseModel):
    """A size of images and how many images have it."""

    width: int
    height: int
    images: int


class EmptyImages(BaseModel):
    """The images of a split without an object: how many, and the first of them."""

    count: int
    files: list[str]


class BoxStatistics(BaseModel):
    """Sizes and positions of all boxes; of a polygon, the box around it."""

    width: Histogram = Field(description="Box widths as fractions of the image.")
    height: Histogram = Field(description="Box heights as fractions of the image.")
    area: Histogram = Field(description="Box areas as fractions of the image.")
    aspect: Histogram = Field(description="Width / height in pixels.")
    centres: list[list[int]] = Field(
        description=f"Number of box centres in each cell of a grid of {GRID_SIDE} x {GRID_SIDE} "
        "over the image: rows from the top, columns from the left."
    )


class StoredStatistics(BaseModel):
    """The statistics of a version. Lists by class are in class order."""

    instances: dict[Split, list[int]] = Field(
        description="Objects of each class; for masks, the images that show it."
    )
    images: dict[Split, list[int]] = Field(description="Images that show each class.")
    empty_images: dict[Split, EmptyImages]
    image_sizes: list[ImageSize] = Field(description="The most frequent sizes.")
    image_width: Histogram
    image_height: Histogram
    image_aspect: Histogram
    objects_per_image: Histogram
    boxes: BoxStatistics | None = Field(
        description="null: the targets are no boxes and no polygons."
    )


class DuplicateGroup(BaseModel):
    """Images with the same bytes, or images that look alike."""

    images: int = Field(description="Number of images in the group.")
    splits: dict[Split, int] = Field(description="Number of images by split.")
    files: list[str] = Field(description=f"The first {MAX_FILES_OF_GROUP} of the images.")
