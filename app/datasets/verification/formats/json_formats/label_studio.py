"""Label Studio's own JSON, in its full and its small form: regions in percent of the image."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from app.datasets.reports.finding_codes import Code
from app.datasets.verification.formats.json_formats.image_finder import split_of_file
from app.datasets.verification.formats.json_formats.kinds import Kind, files_of
from app.datasets.verification.formats.json_formats.notes import Notes
from app.datasets.verification.formats.json_formats.records import (
    Record,
    RecordFormat,
    read_records,
)
from app.datasets.verification.formats.json_formats.shapes import Shape
from app.datasets.verification.formats.json_formats.streams import items_in
from app.datasets.verification.formats.json_formats.values import (
    Outline,
    corners_of,
    number_of,
    outline_of,
    size_of,
    text_of,
)
from app.datasets.verification.images import IMAGE_SUFFIXES
from app.datasets.verification.source import Source, Upload
from app.datasets.verification.tree import suffix

NAME: Final = Kind.LABEL_STUDIO.value
IMAGE_KEYS: Final = ("image", "img", "image_url", "url")
LABEL_KEYS: Final = ("rectanglelabels", "polygonlabels", "labels")
PERCENT: Final = (100.0, 100.0)
HINT: Final = "Brush masks are not read; export them as COCO or PNG masks."
NO_TASK: Final = "A task without an image or without an annotation is left out."
UNREAD_REGION: Final = "A region that is no labelled rectangle or polygon is left out."
BRUSH: Final = "A brush mask (RLE) is not read; export it as COCO."
ANNOTATED_TWICE: Final = "Of several annotations of one task, the newest is used."
QUERY: Final = re.compile(r"\?[^/]*$")


def recognise(upload: Upload) -> list[str]:
    """Return the Label Studio files of the archive."""
    return files_of(upload, Kind.LABEL_STUDIO)


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the files, or add findings and return None."""
    return read_records(upload, files, RecordFormat(NAME, _records, hint=HINT))


def _records(upload: Upload, file: str, notes: Notes) -> Iterator[Record]:
    split = split_of_file(file)
    for number, value in enumerate(items_in(upload, file, "item"), start=1):
        task = value if isinstance(value, dict) else {}
        image = _image_of(task)
        regions = _regions_of(task, file, notes)
        if image is None or regions is None:
            where = f"task {number}" if image is None else image
            notes.add(Code.ANNOTATION_IGNORED, NO_TASK, file, where)
            continue
        size = next((found for found in map(_size_of, regions) if found is not None), PERCENT)
        record = Record((image,), size, split)
        for region, labels in _labelled(regions):
            shape = _shape(region, size) if labels else None
            if shape is None:
                reason = BRUSH if "rle" in region else UNREAD_REGION
                notes.add(Code.ANNOTATION_IGNORED, reason, file, image)
            else:
                record.shapes.append((labels, shape))
        yield record


def _image_of(task: dict[str, Any]) -> str | None:
    """Return the image of a task: by the usual keys, or the first text that names an image."""
    given = task.get("data", task)
    found = given if isinstance(given, dict) else {}
    ordered = [*(found.get(key) for key in IMAGE_KEYS), *found.values()]
    texts = [text for text in ordered if isinstance(text, str) and text]
    named = (text for text in texts if suffix(QUERY.sub("", text)) in IMAGE_SUFFIXES)
    local = (text for text in texts if "?d=" in text)
    return next(named, None) or next(local, None)


def _regions_of(task: dict[str, Any], file: str, notes: Notes) -> list[dict[str, Any]] | None:
    """Return the regions of a task, flat, or None if it was not annotated."""
    if "data" not in task:
        lists = [value for value in task.values() if isinstance(value, list)]
        regions = [value for values in lists for value in values if isinstance(value, dict)]
        return regions if lists else None
    given = task.get("annotations", task.get("completions"))
    done = [one for one in given if _is_done(one)] if isinstance(given, list) else []
    if not done:
        return None
    if len(done) > 1:
        notes.add(Code.ANNOTATION_IGNORED, ANNOTATED_TWICE, file, str(task.get("id")))
    newest = max(done, key=lambda one: str(one.get("created_at", "")))
    results = [value for value in newest["result"] if isinstance(value, dict)]
    return [_flat(value) for value in results if isinstance(value.get("value"), dict)]


def _is_done(annotation: Any) -> bool:  # noqa: ANN401 -- any JSON value
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        return False
    return not (annotation.get("was_cancelled") or annotation.get("skipped"))


def _flat(result: dict[str, Any]) -> dict[str, Any]:
    """Return the region with the keys of its value beside its own."""
    return {**result, **result["value"]}


def _labelled(regions: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each region that has a place, with its label, or "" if it has none.

    A region and its label can be two entries with one id.
    """
    by_id: dict[str, str] = {}
    for region in regions:
        label = _label_of(region)
        if label and region.get("id") is not None:
            by_id.setdefault(str(region["id"]), label)
    seen: set[str] = set()
    for region in regions:
        if not {"x", "points", "rle"} & region.keys():
            continue
        identity = None if region.get("id") is None else str(region["id"])
        if identity is None:
            yield region, _label_of(region)
        elif identity not in seen:
            seen.add(identity)
            yield region, by_id.get(identity, "")


def _label_of(region: dict[str, Any]) -> str:
    for key in LABEL_KEYS:
        labels = region.get(key)
        label = text_of(labels[0]) if isinstance(labels, list) and labels else None
        if label is not None:
            return label
    return ""


def _size_of(region: dict[str, Any]) -> tuple[float, float] | None:
    return size_of(region.get("original_width"), region.get("original_height"))


def _shape(region: dict[str, Any], size: tuple[float, float]) -> Shape | None:
    scale = np.array(size) / PERCENT
    if "points" in region:
        outline = outline_of(region["points"])
        return None if outline is None else Shape(outlines=[outline * scale])
    corners = corners_of([region.get(key) for key in ("x", "y", "width", "height")])
    if corners is None:
        return None
    points = np.reshape(corners, (2, 2)) * scale
    (left, top), (right, bottom) = points.tolist()
    angle = number_of(region.get("rotation")) or 0.0
    if angle % 360 == 0:
        return Shape((left, top, right, bottom))
    return Shape(outlines=[_turned(points, angle)])


def _turned(points: Outline, degrees: float) -> Outline:
    """Return the corners of a rectangle that is turned clockwise around its left top corner."""
    width, height = points[1] - points[0]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across, down = np.array([cosine, sine]) * width, np.array([-sine, cosine]) * height
    return np.asarray(points[0] + np.array([across * 0, across, across + down, down]))
