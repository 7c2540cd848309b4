"""Supervisely: `meta.json` with the classes, and `ann/NAME.jpg.json` beside `img/NAME.jpg`."""

import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.datasets.archives.audit import MemberCorruptError
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
from app.datasets.verification.formats.json_formats.streams import (
    JsonRefusedError,
    document_in,
    report_refused,
)
from app.datasets.verification.formats.json_formats.values import (
    bounds_of,
    numbers_of,
    outline_of,
    size_of,
    text_of,
)
from app.datasets.verification.source import Source, Upload

NAME: Final = Kind.SUPERVISELY.value
META: Final = "meta.json"
NO_OBJECTS: Final = "A JSON file without objects is not of Supervisely and is left out."
UNREAD_OBJECT: Final = "An object that is no polygon, rectangle or bitmap is left out."


def recognise(upload: Upload) -> list[str]:
    """Return the annotation files of a Supervisely project."""
    return files_of(upload, Kind.SUPERVISELY)


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the files, or add findings and return None."""
    metas = [path for path in upload.tree.files if posixpath.basename(path) == META]
    classes = [name for path in sorted(metas) for name in _classes(upload, path)]
    form = RecordFormat(NAME, _records, _names_of_image)
    source = read_records(upload, files, form, classes)
    if source is not None:
        source.read.update(metas)
    return source


def _names_of_image(file: str) -> tuple[str, ...]:
    image = posixpath.splitext(posixpath.basename(file))[0]
    return f"img/{image}", image


def _classes(upload: Upload, path: str) -> Iterator[str]:
    """Yield the classes of a project in its order."""
    try:
        content = document_in(upload, path)
    except (JsonRefusedError, MemberCorruptError) as error:
        report_refused(upload, path, error, Code.ANNOTATIONS_INVALID)
        return
    classes = content.get("classes") if isinstance(content, dict) else None
    for value in classes if isinstance(classes, list) else []:
        name = text_of(value.get("title")) if isinstance(value, dict) else None
        if name is not None:
            yield name


def _records(upload: Upload, file: str, notes: Notes) -> Iterator[Record]:
    content = document_in(upload, file)
    names = _names_of_image(file)
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        notes.add(Code.ANNOTATION_IGNORED, NO_OBJECTS, file, names[-1])
        return
    size = content.get("size")
    sides = size_of(size.get("width"), size.get("height")) if isinstance(size, dict) else None
    record = Record(names, sides, split_of_path(file))
    for value in content["objects"]:
        label = text_of(value.get("classTitle")) if isinstance(value, dict) else None
        shape = None if label is None else _shape(value, upload.members.limits.max_image_pixels)
        if label is None or shape is None:
            notes.add(Code.ANNOTATION_IGNORED, UNREAD_OBJECT, file, names[-1])
        else:
            record.shapes.append((label, shape))
    yield record


def _shape(value: dict[str, Any], max_pixels: int) -> Shape | None:
    kind = value.get("geometryType")
    bitmap, points = value.get("bitmap"), value.get("points")
    if isinstance(bitmap, dict) and kind in {"bitmap", None}:
        return _bitmap(bitmap, max_pixels)
    exterior = points.get("exterior") if isinstance(points, dict) else None
    if not isinstance(exterior, list):
        return None
    if kind == "rectangle" or (kind is None and len(exterior) == 2):  # noqa: PLR2004 -- corners
        corners = outline_of([*exterior, *exterior])
        return None if corners is None else Shape(bounds_of([corners]))
    outline = outline_of(exterior) if kind in {"polygon", None} else None
    return None if outline is None else Shape(outlines=[outline])


def _bitmap(bitmap: dict[str, Any], max_pixels: int) -> Shape | None:
    mask = mask_of_base64(bitmap.get("data"), max_pixels, deflated=True)
    origin = numbers_of(bitmap.get("origin"), 2)
    if mask is None or origin is None:
        return None
    outlines = outlines_of_mask(mask, (round(origin[0]), round(origin[1])))
    return Shape(outlines=outlines) if outlines else None
