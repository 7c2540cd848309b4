"""LabelMe: a JSON file for each image with polygons, rectangles, circles and masks in pixels."""

import math
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from app.datasets.reports.finding_codes import Code
from app.datasets.verification.formats.json_formats.image_finder import split_of_path
from app.datasets.verification.formats.json_formats.kinds import Kind, files_of
from app.datasets.verification.formats.json_formats.notes import Notes
from app.datasets.verification.formats.json_formats.outlines import outlines_of_mask
from app.datasets.verification.formats.json_formats.png_masks import mask_of_base64
from app.datasets.verification.formats.json_formats.records import (
    Record,
    RecordFormat,
    read_records,
)
from app.datasets.verification.formats.json_formats.shapes import Shape
from app.datasets.verification.formats.json_formats.streams import document_in
from app.datasets.verification.formats.json_formats.values import (
    Outline,
    bounds_of,
    identity_of,
    outline_of,
    size_of,
    text_of,
)
from app.datasets.verification.source import Source, Upload

NAME: Final = Kind.LABELME.value
CIRCLE_POINTS: Final = 36
TURNED: Final = "rotation"
"""The four corners of an oriented box, as X-AnyLabeling writes them."""
HINT: Final = "Images that are embedded as imageData are not read."
NO_SHAPES: Final = "A JSON file without shapes is not of LabelMe and is left out."
NO_LABEL: Final = "A shape without a label is left out."
UNREAD_SHAPE: Final = "A shape that is no polygon, rectangle, circle or mask is left out."


def recognise(upload: Upload) -> list[str]:
    """Return the LabelMe files of the archive."""
    return files_of(upload, Kind.LABELME)


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the files, or add findings and return None."""
    return read_records(upload, files, RecordFormat(NAME, _records, _names_of_image, HINT))


def _names_of_image(file: str) -> tuple[str, ...]:
    return (posixpath.splitext(posixpath.basename(file))[0],)


def _records(upload: Upload, file: str, notes: Notes) -> Iterator[Record]:
    content = document_in(upload, file)
    own_name = _names_of_image(file)[0]
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        notes.add(Code.ANNOTATION_IGNORED, NO_SHAPES, file, own_name)
        return
    named = text_of(content.get("imagePath"))
    images = (own_name,) if named is None else (named, own_name)
    size = size_of(content.get("imageWidth"), content.get("imageHeight"))
    record = Record(images, size, split_of_path(file))
    groups: dict[tuple[str, int | str], Shape] = {}
    for value in content["shapes"]:
        label = text_of(value.get("label")) if isinstance(value, dict) else None
        shape = None if label is None else _shape(value, upload.members.limits.max_image_pixels)
        if label is None or shape is None:
            reason = NO_LABEL if label is None else UNREAD_SHAPE
            notes.add(Code.ANNOTATION_IGNORED, reason, file, images[0])
            continue
        group = identity_of(value.get("group_id"))
        first = None if group is None else groups.setdefault((label, group), shape)
        if first is None or first is shape:
            record.shapes.append((label, shape))
        else:
            _join(first, shape)
    yield record


def _join(first: Shape, other: Shape) -> None:
    """Add a shape of the same group: both are parts of one object."""
    first.outlines += other.outlines
    if first.corners is not None and other.corners is not None:
        one, two = first.corners, other.corners
        first.corners = (*map(min, one[:2], two[:2]), *map(max, one[2:], two[2:]))  # type: ignore[assignment]


def _shape(value: dict[str, Any], max_pixels: int) -> Shape | None:
    kind = value.get("shape_type") or "polygon"
    points = value.get("points")
    if kind in {"polygon", TURNED}:
        outline = outline_of(points)
        return None if outline is None else Shape(outlines=[outline])
    two = _points_of(points)
    if two is None:
        return None
    if kind == "rectangle":
        return Shape(bounds_of([two]))
    if kind == "circle":
        return Shape(outlines=[_circle(two)])
    if kind == "mask":
        mask = mask_of_base64(value.get("mask"), max_pixels)
        left, top, _, _ = bounds_of([two])
        outlines = [] if mask is None else outlines_of_mask(mask, (round(left), round(top)))
        return Shape(outlines=outlines) if outlines else None
    return None


def _points_of(values: Any) -> Outline | None:  # noqa: ANN401 -- any JSON value
    """Return two or more points."""
    if not isinstance(values, list) or len(values) < 2:  # noqa: PLR2004 -- opposite corners
        return None
    doubled = outline_of([*values, *values]) if len(values) == 2 else outline_of(values)  # noqa: PLR2004
    return None if doubled is None else doubled[: len(values)]


def _circle(points: Outline) -> Outline:
    """Return the circle around the first point through the second one."""
    centre, edge = points[0], points[1]
    angles = np.linspace(0, 2 * math.pi, CIRCLE_POINTS, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(centre + ring * math.dist(centre, edge))
