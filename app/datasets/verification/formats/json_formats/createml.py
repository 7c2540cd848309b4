"""CreateML: a list of images with boxes, given by their centres in pixels."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

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
from app.datasets.verification.formats.json_formats.values import corners_of, text_of
from app.datasets.verification.source import Source, Upload

NAME: Final = Kind.CREATEML.value
IMAGE_KEYS: Final = ("image", "imagefilename", "filename")
NO_BOX: Final = "An annotation without a label or a box is left out."
NO_NAME: Final = "An entry without the name of an image is left out."


def recognise(upload: Upload) -> list[str]:
    """Return the CreateML files of the archive."""
    return files_of(upload, Kind.CREATEML)


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the files, or add findings and return None."""
    return read_records(upload, files, RecordFormat(NAME, _records))


def _records(upload: Upload, file: str, notes: Notes) -> Iterator[Record]:
    split = split_of_file(file)
    for number, value in enumerate(items_in(upload, file, "item"), start=1):
        entry = value if isinstance(value, dict) else {}
        named = (text_of(entry.get(key)) for key in IMAGE_KEYS)
        image = next((name for name in named if name is not None), None)
        if image is None:
            notes.add(Code.ANNOTATION_IGNORED, NO_NAME, file, f"entry {number}")
            continue
        record = Record((image,), None, split)
        for annotation in _annotations(entry):
            found = _labelled_box(annotation)
            if found is None:
                notes.add(Code.ANNOTATION_IGNORED, NO_BOX, file, image)
            else:
                record.shapes.append(found)
        yield record


def _annotations(entry: dict[str, Any]) -> list[Any]:
    found = entry.get("annotations", entry.get("annotation"))
    if isinstance(found, list):
        return found
    return [] if found is None else [found]


def _labelled_box(annotation: Any) -> tuple[str, Shape] | None:  # noqa: ANN401 -- any JSON value
    if not isinstance(annotation, dict) or not isinstance(annotation.get("coordinates"), dict):
        return None
    label = text_of(annotation.get("label"))
    place = annotation["coordinates"]
    corners = corners_of([place.get(key) for key in ("x", "y", "width", "height")])
    if label is None or corners is None:
        return None
    centre_x, centre_y, right, bottom = corners
    half_width, half_height = (right - centre_x) / 2, (bottom - centre_y) / 2
    box = (
        centre_x - half_width,
        centre_y - half_height,
        centre_x + half_width,
        centre_y + half_height,
    )
    return label, Shape(box)
