"""Hugging Face's imagefolder: `metadata.csv` or `metadata.jsonl` names the files of its folder.

`objects` has the boxes of an image as COCO writes them (left, top, width, height in pixels) and
their categories; `label` is the class of an image.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.datasets.reports.findings import shown
from app.datasets.reports.report import Split
from app.datasets.verification.formats.other_formats.annotated import (
    Annotations,
    Place,
    Shape,
    with_backgrounds,
)
from app.datasets.verification.formats.other_formats.class_labels import classified
from app.datasets.verification.formats.other_formats.plain_text import (
    class_name,
    first_lines,
    number,
    text_of,
)
from app.datasets.verification.formats.other_formats.stems import StemIndex
from app.datasets.verification.matching import split_of
from app.datasets.verification.source import Source, Upload

NAME: Final = "Hugging Face imagefolder"
FILES: Final = ("metadata.csv", "metadata.jsonl")
FILE_KEYS: Final = ("file_name", "image_file_name", "image")
LABEL_KEYS: Final = ("label", "labels", "class", "category")
CATEGORY_KEYS: Final = ("categories", "category", "label", "labels", "class")
MAX_LINE_CHARACTERS: Final = 4 * 1024 * 1024
SIDES: Final = 4


@dataclass
class _Contents:
    """What all files contain."""

    annotations: Annotations
    splits: dict[str, Split | None] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)
    has_objects: bool = False


def recognise(upload: Upload) -> list[str]:
    """Return the metadata files whose rows name a file and its objects or its label."""
    files = sorted(path for path in upload.tree.files if path.rpartition("/")[2] in FILES)
    return [path for path in files if _has_annotations(first_lines(upload, path, 1 << 16))]


def _has_annotations(lines: Sequence[str]) -> bool:
    first = lines[0] if lines else ""
    names_file = any(key in first for key in FILE_KEYS)
    return names_file and any(f"{key}" in first for key in ("objects", *LABEL_KEYS))


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the rows of all files."""
    images = StemIndex(upload.tree.images_below(""), upload.tree.root)
    contents = _Contents(Annotations(upload, NAME))
    for file in files:
        text = text_of(upload, file, upload.members.read(file))
        if text is None:
            continue
        rows = _csv_rows(text) if file.endswith(".csv") else _json_rows(text)
        for line, row in rows:
            _read_row(row, Place(file, line), images, contents)
    asked = upload.options.task
    if not contents.has_objects and contents.labels and asked in {None, "classify"}:
        return classified(upload, NAME, contents.labels, contents.splits, files)
    task = contents.annotations.task()
    if task is None:
        return None
    divided = with_backgrounds(upload, contents.splits)
    return contents.annotations.source(task, divided, files)


def _csv_rows(text: str) -> Iterator[tuple[int, object]]:
    reader = csv.DictReader(text.splitlines(keepends=True), skipinitialspace=True)
    try:
        for row in reader:
            objects = row.get("objects")
            yield reader.line_num, {**row, "objects": _parsed(objects) if objects else None}
    except csv.Error as error:
        yield reader.line_num, f"It cannot be read as CSV: {shown(str(error))}."


def _json_rows(text: str) -> Iterator[tuple[int, object]]:
    for line, content in enumerate(text.splitlines(), start=1):
        if content.strip():
            yield line, _parsed(content)


def _parsed(text: str) -> object:
    """Return the JSON value of a text, or the reason why it cannot be read."""
    if len(text) > MAX_LINE_CHARACTERS:
        return "It is too long."
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return "It is not JSON."
    return parsed


def _read_row(row: object, place: Place, images: StemIndex, contents: _Contents) -> None:
    if not isinstance(row, dict):
        reason = row if isinstance(row, str) else "It is no object with keys."
        contents.annotations.ignore(reason, place)
        return
    image = _image_of(row, place, images, contents)
    if image is None:
        return
    objects = row.get("objects")
    if isinstance(objects, dict):
        contents.has_objects = True
        for shape in _shapes(objects):
            if shape is None:
                text = "Its bbox is not four finite numbers: left, top, width, height."
                contents.annotations.ignore(text, place)
            else:
                contents.annotations.add(image, shape, place)
    label = next((class_name(_written(row[key])) for key in LABEL_KEYS if key in row), None)
    if label is not None:
        contents.labels.setdefault(image, []).append(label)


def _image_of(
    row: Mapping[Any, Any], place: Place, images: StemIndex, contents: _Contents
) -> str | None:
    value = next((row[key] for key in FILE_KEYS if isinstance(row.get(key), str)), "")
    found = images.find_named(value, place.file.rpartition("/")[0]) if value else []
    if len(found) != 1:
        what = "Several images could be" if found else "No image of the archive is"
        contents.annotations.ignore(f"{what} {shown(value)!r}.", place)
        return None
    image = found[0]
    contents.annotations.add_image(image, None)
    contents.splits.setdefault(image, split_of(image))
    return image


def _shapes(objects: Mapping[Any, Any]) -> Iterator[Shape | None]:
    boxes = objects.get("bbox")
    labels = next((objects[key] for key in CATEGORY_KEYS if key in objects), None)
    if not isinstance(boxes, list) or not isinstance(labels, list):
        yield None
        return
    for position, box in enumerate(boxes):
        label = _written(labels[position]) if position < len(labels) else None
        sides = [number(_written(side)) for side in box] if isinstance(box, list) else []
        left, top, width, height = sides if len(sides) == SIDES else [None] * SIDES
        if left is None or top is None or width is None or height is None:
            yield None
        else:
            yield Shape(label, (left, top, left + width, top + height))


def _written(value: object) -> str:
    """Return a JSON value as the text of a name or a number."""
    is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    try:
        return str(value) if is_plain else ""
    except ValueError:  # an integer of more than 4,300 digits
        return ""
