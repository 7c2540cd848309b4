"""Tables as CSV: the only writer, so that no text of a user becomes a formula of a spreadsheet."""

import csv
from collections.abc import Iterable
from typing import Final, TextIO

Cell = str | int | float | None

_FORMULA_BEGINS: Final = tuple("=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
                               "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


class CsvTable:
    """Writes rows to a text file. Numbers stay as they are, and None is an empty cell.

    Text that a spreadsheet would read as a formula gets an apostrophe in front, which it does not
    show (OWASP, CSV injection).
    """

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file, lineterminator="\n")

    def write(self, row: Iterable[Cell]) -> None:
        """Write one row."""
        self._writer.writerow([_harmless(cell) for cell in row])


def _harmless(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    begins = cell.lstrip(" \N{NO-BREAK SPACE}")
    text = f"'{cell}" if begins.startswith(_FORMULA_BEGINS) else cell
    return text.replace("\r", "\n")  # the csv module quotes a line feed, and no carriage return
