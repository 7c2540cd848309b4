"""Write annotations of any kind as the label rows of a task, and collect them by image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.report import SPLITS, Split
from app.datasets.verification.annotations import box_row, row
from app.datasets.verification.formats.json_formats.image_finder import pack_names
from app.datasets.verification.formats.json_formats.notes import Notes
from app.datasets.verification.formats.json_formats.outlines import joined
from app.datasets.verification.formats.json_formats.values import Corners, Outline, bounds_of
from app.datasets.verification.source import SourceImage

SHAPE_TASKS: Final[tuple[Task, ...]] = ("detect", "segment", "pose", "obb", "semantic")
OUTLINE_TASKS: Final[frozenset[Task]] = frozenset({"segment", "semantic"})
TOLERANCE: Final = 1e-3
"""Fraction of a side that an annotation may extend beyond its image without a word."""

CORNERS: Final = 4
NO_AREA: Final = "An annotation without an area inside its image is left out."
NO_KEYPOINTS: Final = "An annotation without a labelled keypoint is left out, as in Ultralytics."
CUT: Final = "An annotation that extends beyond its image was cut at the border."
AS_RECTANGLE: Final = "An annotation without an outline was written as the rectangle of its box."


@dataclass(slots=True)
class Shape:
    """One annotated object, in the units of its image's size.

    `corners` are left, top, right and bottom. `keypoints` are x, y and visibility of each point.
    """

    corners: Corners | None = None
    outlines: list[Outline] = field(default_factory=list)
    keypoints: list[float] | None = None

    @property
    def bounds(self) -> Corners | None:
        """The box as given, else the box around the outlines."""
        if self.corners is not None or not self.outlines:
            return self.corners
        return bounds_of(self.outlines)

    @property
    def has_outline(self) -> bool:
        """Whether the outline says more than the box."""
        return len(self.outlines) > 1 or any(not is_rectangle(one) for one in self.outlines)


def is_rectangle(outline: Outline) -> bool:
    """Return whether an outline is only its own box: tools write one for every box."""
    if not CORNERS <= len(outline) <= CORNERS + 1:
        return False
    low, high = outline.min(axis=0), outline.max(axis=0)
    at_low, at_high = outline == low, outline == high
    on_corners = bool((at_low | at_high).all())
    return on_corners and len({tuple(point) for point in outline.tolist()}) == CORNERS


@dataclass(slots=True)
class ImageRows:
    """The rows of one image; `size` is None where its width and height are unknown."""

    size: tuple[float, float] | None
    rows: bytearray = field(default_factory=bytearray)


@dataclass
class RowCollector:
    """Writes shapes as rows of the task and keeps them by split and image.

    Rows of an image of unknown size are in pixels; what extends beyond it is cut later.
    """

    task: Task
    notes: Notes
    keypoints: int = 0
    images: dict[Split | None, dict[str, ImageRows]] = field(default_factory=dict)
    faults: dict[str, Code] = field(default_factory=dict)

    def rows_of(
        self, split: Split | None, image: str, size: tuple[float, float] | None
    ) -> ImageRows:
        """Return the rows of an image, which becomes part of the split."""
        of_split = self.images.setdefault(split, {})
        return of_split.setdefault(image, ImageRows(size))

    def drop(self, split: Split | None, image: str, fault: Code) -> None:
        """Make an image part of the split that counts as dropped, whatever rows it has."""
        self.rows_of(split, image, None)
        self.faults[image] = fault

    def add(self, rows: ImageRows, number: int, shape: Shape, where: tuple[str, str]) -> None:
        """Write one object of class `number`; `where` are the annotation file and the image."""
        values = self._values(shape, where)
        written = None if values is None else _row_of(number, values, rows.size)
        if written is None:
            self.notes.add(Code.ANNOTATION_IGNORED, NO_AREA, *where)
            return
        if self.task == "pose":
            points = _keypoints(shape.keypoints, self.keypoints, rows.size)
            if points is None:
                self.notes.add(Code.ANNOTATION_IGNORED, NO_KEYPOINTS, *where)
                return
            written = written.rstrip(b"\n") + b" " + row(0, points)[2:]
        if values is not None and rows.size and _is_beyond(values, rows.size):
            self.notes.add(Code.ANNOTATION_CLIPPED, CUT, *where)
        rows.rows += written

    def _values(self, shape: Shape, where: tuple[str, str]) -> Corners | Outline | None:
        """Return the corners of a box, or the points of an outline."""
        bounds = shape.bounds
        if self.task == "obb":
            return _turned_box(shape)
        if self.task not in OUTLINE_TASKS or bounds is None:
            return bounds
        if shape.outlines:
            return joined(shape.outlines)
        self.notes.add(Code.ANNOTATION_CLIPPED, AS_RECTANGLE, *where)
        return _rectangle(bounds)

    def source_images(self) -> dict[Split | None, list[SourceImage]]:
        """Return the images of each split with their rows, sorted by their names in the pack."""
        return {
            split: [
                self._source_image(image, name, rows) for image, name, rows in _in_order(images)
            ]
            for split in (*SPLITS, None)
            if (images := self.images.get(split))
        }

    def _source_image(self, image: str, name: str, rows: ImageRows) -> SourceImage:
        fault = self.faults.get(image)
        if fault is not None:
            return SourceImage(image, name, fault=fault)
        different = dict.fromkeys(bytes(rows.rows).splitlines(keepends=True))
        return SourceImage(image, name, rows=b"".join(different), in_pixels=rows.size is None)


def _in_order(images: dict[str, ImageRows]) -> Iterator[tuple[str, str, ImageRows]]:
    for image, name in sorted(pack_names(images).items(), key=lambda item: (item[1], item[0])):
        yield image, name, images[image]


def _row_of(
    number: int, values: Corners | Outline, size: tuple[float, float] | None
) -> bytes | None:
    if isinstance(values, tuple):
        if size is not None:
            return box_row(number, values, size)
        left, top, right, bottom = values
        if right <= left or bottom <= top:
            return None
        return row(number, ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top))
    points = values if size is None else (values / size).clip(0, 1)
    has_area = bool((points.min(axis=0) < points.max(axis=0)).all())
    return row(number, points.reshape(-1).tolist()) if has_area else None


def _is_beyond(values: Corners | Outline, size: tuple[float, float]) -> bool:
    points = np.reshape(values, (-1, 2)) / size
    return bool(points.min() < -TOLERANCE or points.max() > 1 + TOLERANCE)


def _rectangle(corners: Corners) -> Outline:
    left, top, right, bottom = corners
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _turned_box(shape: Shape) -> Outline | None:
    """Return the four corners of the object: as given, or of the smallest box around it."""
    if not shape.outlines:
        return None if shape.corners is None else _rectangle(shape.corners)
    points = joined(shape.outlines)
    if len(points) == CORNERS:
        return points
    box = cv2.boxPoints(cv2.minAreaRect(points.astype(np.float32)))
    return np.asarray(box, dtype=np.float64)


def _keypoints(
    values: Sequence[float] | None, count: int, size: tuple[float, float] | None
) -> list[float] | None:
    """Return x, y and visibility of `count` points, or None if no point is labelled.

    A point outside the image counts as not labelled, as in the augmentations of Ultralytics.
    """
    given = np.zeros((count, 3))
    if values is not None:
        points = np.reshape(values, (-1, 3))[:count]
        given[: len(points)] = points
    given[:, 2] = np.clip(given[:, 2], 0, 2).round()
    if not given[:, 2].any():
        return None
    if size is not None:
        given[:, :2] /= size
        outside = ((given[:, :2] < -TOLERANCE) | (given[:, :2] > 1 + TOLERANCE)).any(axis=1)
        given[outside] = 0
        given[:, :2] = given[:, :2].clip(0, 1)
    return [float(value) for value in given.reshape(-1)]
