"""Read the categories and the images of a COCO JSON file, and count what its annotations hold."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from app.datasets.reports.report import Split
from app.datasets.verification.formats.json_formats.image_finder import split_of_file
from app.datasets.verification.formats.json_formats.rle import outlines_of_rle
from app.datasets.verification.formats.json_formats.shapes import Shape
from app.datasets.verification.formats.json_formats.streams import items_in
from app.datasets.verification.formats.json_formats.values import (
    corners_of,
    identity_of,
    number_of,
    outline_of,
    size_of,
    text_of,
)
from app.datasets.verification.source import Upload

Identity = int | str
CATEGORIES: Final = "categories.item"
IMAGES: Final = "images.item"
ANNOTATIONS: Final = "annotations.item"
PANOPTIC_KEY: Final = "segments_info"
CAPTION_KEY: Final = "caption"
RECTANGLE_NUMBERS: Final = 10
"""Numbers of a closed rectangle; a polygon with more says more than its box."""


@dataclass(frozen=True, slots=True)
class Category:
    """A category; `keypoints` are the names of its keypoints, if it has some."""

    identity: Identity
    name: str
    group: str | None
    keypoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """An image as the file lists it; `size` is (width, height)."""

    name: str
    size: tuple[float, float] | None


@dataclass
class Survey:
    """What a COCO JSON file contains, without its annotations.

    `counts` counts annotations by what they have; `used` counts them by category.
    """

    file: str
    split: Split | None
    categories: dict[Identity, Category] = field(default_factory=dict)
    images: dict[Identity, ImageEntry] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    used: Counter[Identity] = field(default_factory=Counter)
    keypoints: int = 0

    @property
    def is_pose(self) -> bool:
        """Whether most objects have keypoints."""
        return 2 * self.counts["keypoints"] > self.counts["object"]

    @property
    def unread_kind(self) -> str | None:
        """What the file is if its annotations are not of objects."""
        if self.counts[PANOPTIC_KEY]:
            return "COCO panoptic JSON"
        if self.counts[CAPTION_KEY] and not self.counts["object"]:
            return "COCO captions JSON"
        return None


def survey_of(upload: Upload, file: str) -> Survey:
    """Read a file once for each of its three lists, whose order is not fixed.

    Raises:
        JsonRefusedError: the file is not JSON.
        MemberCorruptError: the file is damaged.
    """
    survey = Survey(file, split_of_file(file))
    readers = {CATEGORIES: _add_category, IMAGES: _add_image, ANNOTATIONS: _count_annotation}
    for prefix, reader in readers.items():
        for value in items_in(upload, file, prefix):
            if isinstance(value, dict):
                reader(survey, value)
    return survey


def _add_category(survey: Survey, value: dict[str, Any]) -> None:
    identity = identity_of(value.get("id"))
    if identity is None:
        return
    name = text_of(value.get("name")) or str(identity)
    points = value.get("keypoints")
    names = tuple(str(point) for point in points) if isinstance(points, list) else ()
    group = text_of(value.get("supercategory"))
    survey.categories[identity] = Category(identity, name, group, names)


def _add_image(survey: Survey, value: dict[str, Any]) -> None:
    identity = identity_of(value.get("id"))
    name = text_of(value.get("file_name")) or text_of(value.get("coco_url"))
    if identity is None or name is None:
        survey.counts["nameless image"] += 1
        return
    size = size_of(value.get("width"), value.get("height"))
    survey.images[identity] = ImageEntry(name, size)


def _count_annotation(survey: Survey, value: dict[str, Any]) -> None:
    for key in (PANOPTIC_KEY, CAPTION_KEY):
        if key in value:
            survey.counts[key] += 1
    category = identity_of(value.get("category_id"))
    if category is None:
        return
    survey.used[category] += 1
    survey.counts["object"] += 1
    survey.counts["crowd"] += bool(value.get("iscrowd"))
    survey.counts["outline"] += _has_outline(value)
    points = value.get("keypoints")
    if isinstance(points, list) and points:
        survey.counts["keypoints"] += 1
        survey.keypoints = max(survey.keypoints, len(points) // 3)


def _has_outline(value: dict[str, Any]) -> bool:
    encoded = value.get("segmentation")
    if isinstance(encoded, dict):
        return True
    if isinstance(encoded, list) and any(
        isinstance(part, list) and len(part) > RECTANGLE_NUMBERS for part in encoded
    ):
        return True
    return Shape(outlines=list(_polygons(encoded))).has_outline


def _polygons(encoded: Any) -> Iterator[Any]:  # noqa: ANN401 -- any JSON value
    """Yield the outlines of [[x, y, …], …], or of one polygon without the outer list."""
    if not isinstance(encoded, list):
        return
    parts = [encoded] if encoded and number_of(encoded[0]) is not None else encoded
    for part in parts:
        outline = outline_of(part)
        if outline is not None:
            yield outline


def shape_of(
    value: dict[str, Any], size: tuple[float, float] | None, *, outlined: bool, max_pixels: int
) -> Shape:
    """Return the object of an annotation; its outlines are read only if `outlined`."""
    corners = corners_of(value.get("bbox"))
    encoded = value.get("segmentation")
    outlines = []
    if isinstance(encoded, dict) and (outlined or corners is None):
        outlines = outlines_of_rle(encoded, size, max_pixels)
    elif outlined or corners is None:
        outlines = list(_polygons(encoded))
    return Shape(corners, outlines, _keypoints(value.get("keypoints")))


def _keypoints(values: Any) -> list[float] | None:  # noqa: ANN401 -- any JSON value
    if not isinstance(values, list) or not values or len(values) % 3:
        return None
    numbers = [number_of(value) for value in values]
    found = [number for number in numbers if number is not None]
    return found if len(found) == len(numbers) else None
