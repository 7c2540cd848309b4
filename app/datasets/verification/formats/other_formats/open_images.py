"""Open Images as the OIDv4 toolkit downloads it: `train/Apple/x.jpg`, `train/Apple/Label/x.txt`.

A row has the class, which may have blanks, and the corners of its box in pixels. An image that was
downloaded for several classes is one image.
"""

from collections.abc import Sequence
from typing import Final

from app.datasets.verification.formats.other_formats.annotated import Annotations, Place, Shape
from app.datasets.verification.formats.other_formats.plain_text import number
from app.datasets.verification.formats.other_formats.text_rows import (
    labelled_texts,
    read_rows,
    source_of,
)
from app.datasets.verification.source import Source, Upload

NAME: Final = "Open Images (OIDv4 toolkit)"
FOLDER: Final = "label"
CORNERS: Final = 4


def recognise(upload: Upload) -> list[str]:
    """Return the text files in folders called Label if their rows are the toolkit's."""
    files = labelled_texts(upload, _is_row)
    return [path for path in files if f"/{FOLDER}/" in f"/{path.lower()}"]


def _is_row(line: str) -> bool:
    label, corners = _parsed(line)
    return bool(label) and number(label) is None and None not in corners


def _parsed(line: str) -> tuple[str, list[float | None]]:
    label, *corners = line.strip().rsplit(maxsplit=CORNERS)
    return label, [number(cell) for cell in [*corners, *[""] * CORNERS][:CORNERS]]


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the boxes of all files."""
    annotations = Annotations(upload, NAME)
    read_rows(upload, files, annotations, _add, is_shared=True)
    return source_of(upload, annotations, files)


def _add(image: str, line: str, annotations: Annotations, place: Place) -> None:
    label, (left, top, right, bottom) = _parsed(line)
    if left is None or top is None or right is None or bottom is None:
        annotations.ignore("A class and four corners in pixels are expected.", place)
        return
    annotations.add(image, Shape(label, (left, top, right, bottom)), place)
