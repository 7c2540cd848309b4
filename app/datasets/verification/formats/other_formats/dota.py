"""DOTA: a text file for each image; a row has four corners in pixels, a class and a difficulty."""

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

NAME: Final = "DOTA"
COORDINATES: Final = 8
MAX_COLUMNS: Final = 10
HEADERS: Final = ("imagesource:", "gsd:")


def recognise(upload: Upload) -> list[str]:
    """Return the label files if their rows are DOTA's."""
    return labelled_texts(upload, _is_row, HEADERS)


def _is_row(line: str) -> bool:
    cells = line.split()
    if not COORDINATES < len(cells) <= MAX_COLUMNS or number(cells[COORDINATES]) is not None:
        return False
    difficulty = cells[COORDINATES + 1 :]
    return all(number(cell) is not None for cell in [*cells[:COORDINATES], *difficulty])


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the oriented boxes of all files."""
    annotations = Annotations(upload, NAME)
    read_rows(upload, files, annotations, _add)
    return source_of(upload, annotations, files, "obb")


def _add(image: str, line: str, annotations: Annotations, place: Place) -> None:
    cells = line.split()
    if line.lower().startswith(HEADERS):
        return
    values = [value for value in map(number, cells[:COORDINATES]) if value is not None]
    if len(values) < COORDINATES or len(cells) == COORDINATES:
        text = "Four corners (eight numbers), a class and a difficulty are expected."
        annotations.ignore(text, place)
        return
    corners = list(zip(values[::2], values[1::2], strict=True))
    annotations.add(image, Shape.around(cells[COORDINATES], corners), place)
