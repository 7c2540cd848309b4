"""The confusion matrix as a table with shaded cells; of many classes, only its mistakes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MOST_COLUMNS: Final = 41
"""Classes of a table, with `background`; of more only the mistakes are listed."""
MOST_MISTAKES: Final = 50
SHADES: Final = 10


@dataclass(frozen=True)
class Cell:
    """A count; its shade, from 0 to `SHADES`, is its share of the objects of the true class."""

    count: int
    shade: int
    percent: float


@dataclass(frozen=True)
class Mistake:
    """A pair of different classes: objects of one that were predicted as the other."""

    true: str
    predicted: str
    count: int


@dataclass(frozen=True)
class ConfusionTable:
    """A confusion matrix, or its mistakes.

    Attributes:
        names: of rows and columns.
        rows: a row for each predicted class; empty: there are too many.
        mistakes: the most frequent ones, where there are no rows.
        unit: what is counted.
        conf: predictions above this confidence count; None: all.
        left_out: whether mistakes are missing.
    """

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    mistakes: Sequence[Mistake]
    unit: str
    conf: float | None
    left_out: bool


def confusion_table(confusion: Mapping[str, Any] | None) -> ConfusionTable | None:
    """Return what the page shows of a confusion matrix; None without one."""
    if confusion is None:
        return None
    names, matrix = confusion["names"], confusion["matrix"]
    if matrix is not None and len(names) <= MOST_COLUMNS:
        rows, mistakes, left_out = _rows(names, matrix), [], False
    else:
        cells = confusion["cells"] if matrix is None else _cells(matrix)
        mistakes = _mistakes(names, cells)
        left_out = len(mistakes) > MOST_MISTAKES or bool(confusion["cells_left_out"])
        rows, mistakes = [], mistakes[:MOST_MISTAKES]
    return ConfusionTable(names, rows, mistakes, confusion["unit"], confusion["conf"], left_out)


def _rows(
    names: Sequence[str], matrix: Sequence[Sequence[int]]
) -> list[tuple[str, Sequence[Cell]]]:
    totals = [sum(column) or 1 for column in zip(*matrix, strict=True)]
    return [
        (
            name,
            [
                Cell(count, _shade(count / total), 100 * count / total)
                for count, total in zip(row, totals, strict=True)
            ],
        )
        for name, row in zip(names, matrix, strict=True)
    ]


def _shade(share: float) -> int:
    """Return the shade of a share; only 0 has none."""
    return 0 if share == 0 else max(1, round(share * SHADES))


def _cells(matrix: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    numbered = (
        (row, column, count)
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if count
    )
    return sorted(numbered, key=lambda cell: -cell[2])


def _mistakes(names: Sequence[str], cells: Sequence[Sequence[int]]) -> list[Mistake]:
    return [
        Mistake(names[column], names[row], count) for row, column, count in cells if row != column
    ]
