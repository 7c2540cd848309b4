"""KITTI: a text file for each image, with 15 columns a row; the first is the class.

Columns 5 to 8 are the left, top, right and bottom of the box in pixels. `DontCare` is no class.
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

NAME: Final = "KITTI"
COLUMNS: Final = frozenset({15, 16})
NO_CLASS: Final = "dontcare"
BOX: Final = slice(4, 8)


def recognise(upload: Upload) -> list[str]:
    """Return the label files if their rows are KITTI's."""
    return labelled_texts(upload, _is_row)


def _is_row(line: str) -> bool:
    cells = line.split()
    if len(cells) not in COLUMNS or number(cells[0]) is not None:
        return False
    return all(number(cell) is not None for cell in cells[1:])


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the boxes of all files."""
    annotations = Annotations(upload, NAME)
    read_rows(upload, files, annotations, _add)
    return source_of(upload, annotations, files)


def _add(image: str, line: str, annotations: Annotations, place: Place) -> None:
    cells = line.split()
    if cells[0].lower() == NO_CLASS:
        return
    left, top, right, bottom = (number(cell) for cell in [*cells[BOX], *[""] * 4][:4])
    if left is None or top is None or right is None or bottom is None:
        text = f"{len(cells)} columns; 15 are expected, and columns 5 to 8 are the box in pixels."
        annotations.ignore(text, place)
        return
    annotations.add(image, Shape(cells[0], (left, top, right, bottom)), place)
