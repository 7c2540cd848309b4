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

    class_number: int = Field(
        alias="class", description="Index of the class, from 0.", examples=[0]
    )
    box: tuple[float, float, float, float] | None = Field(
        None, description="Centre x, centre y, width, height.", examples=[(0.5, 0.5, 0.2, 0.1)]
    )
    keypoints: list[list[float]] | None = Field(
        None,
        description="x and y of each keypoint, and its visibility if the dataset has it.",
        examples=[None, [[0.5, 0.5, 2.0]]],
    )
    polygon: list[float] | None = Field(
        None,
        description="x and y of each point in turn.",
        examples=[None, [0.4, 0.4, 0.6, 0.4, 0.5, 0.6]],
    )
    corners: list[float] | None = Field(
        None,
        description="x and y of the four corners of a rotated box in turn.",
        examples=[None, [0.4, 0.4, 0.6, 0.4, 0.6, 0.6, 0.4, 0.6]],
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

    edges: list[float] = Field(
        description="Limits of the values, ascending; one more than there are counts.",
        examples=[[0.0, 0.5, 1.0]],
    )
    counts: list[int] = Field(
        description="Number of values between two limits.", examples=[[31, 9]]
    )


class ImageSize(BaseModel):
    """A size of images and how many images have it."""

    width: int = Field(description="Width in pixels.", examples=[1920])
    height: int = Field(description="Height in pixels.", examples=[1080])
    images: int = Field(description="Number of images of this size.", examples=[800])


class EmptyImages(BaseModel):
    """The images of a split without an object: how many, and the first of them."""

    count: int = Field(description="Number of images.", examples=[1])
    files: list[str] = Field(
        description="Paths of the first of them.", examples=[["images/train/0007.jpg"]]
    )


class BoxStatistics(BaseModel):
    """Sizes and positions of all boxes; of a polygon, the box around it."""

    width: Histogram = Field(description="Box widths as fractions of the image.")
    height: Histogram = Field(description="Box heights as fractions of the image.")
    area: Histogram = Field(description="Box areas as fractions of the image.")
    aspect: Histogram = Field(description="Width / height in pixels.")
    centres: list[list[int]] = Field(
        description=f"Number of box centres in each cell of a grid of {GRID_SIDE} x {GRID_SIDE} "
        "over the image: rows from the top, columns from the left.",
        examples=[[[0, 2], [1, 0]]],
    )


class StoredStatistics(BaseModel):
    """The statistics of a version. Lists by class are in class order."""

    instances: dict[Split, list[int]] = Field(
        description="Objects of each class; for masks, the images that show it.",
        examples=[{"train": [1398, 446]}],
    )
    images: dict[Split, list[int]] = Field(
        description="Images that show each class.", examples=[{"train": [512, 203]}]
    )
    empty_images: dict[Split, EmptyImages] = Field(
        description="The images without an object, by split."
    )
    image_sizes: list[ImageSize] = Field(description="The most frequent sizes.")
    image_width: Histogram = Field(description="Widths of the images in pixels.")
    image_height: Histogram = Field(description="Heights of the images in pixels.")
    image_aspect: Histogram = Field(description="Width / height of the images.")
    objects_per_image: Histogram = Field(description="Numbers of objects of the images.")
    boxes: BoxStatistics | None = Field(
        description="null: the targets are no boxes and no polygons."
    )


class DuplicateGroup(BaseModel):
    """Images with the same bytes, or images that look alike."""

    images: int = Field(description="Number of images in the group.", examples=[2])
    splits: dict[Split, int] = Field(
        description="Number of images by split.", examples=[{"train": 1, "val": 1}]
    )
    files: list[str] = Field(
        description=f"The first {MAX_FILES_OF_GROUP} of the images.",
        examples=[["images/train/0042.jpg", "images/val/0007.jpg"]],
    )
