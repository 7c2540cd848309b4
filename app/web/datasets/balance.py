"""The classes of a version with their labels in each split, and the weights that these imply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.web.datasets.drawing import Key, key_of
from app.web.typed_numbers import whole_number

CLASSES_SHOWN: Final = 50
TRAIN: Final = "train"
COUNTED_AS: Final = {
    "classify": "images",
    "semantic": "images that show the class",
}
OBJECTS: Final = "objects"


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        name: of the class.
        key: how samples draw it.
        counts: its labels in each split.
        inverse: its weight by inverse frequency; None if there are no statistics.
        balanced: its weight of the mode `balanced`; None if the mode is not for the task.
    """

    name: str
    key: Key
    counts: Mapping[str, int]
    inverse: float | None
    balanced: float | None


@dataclass(frozen=True)
class ClassPage:
    """Some of the classes of a version, and facts about all of them.

    Attributes:
        rows: the classes that are shown.
        start: how many classes come before them.
        total: the number of all classes.
        splits: the names of the splits.
        most: the labels of the most frequent class in train.
        ratio: how many times more these are than those of the rarest class with labels.
        absent: the classes without a label in train.
        counted_as: what one label is.
        is_by_count: whether the most frequent class comes first, instead of the class number.
    """

    rows: Sequence[ClassRow]
    start: int
    total: int
    splits: Sequence[str]
    most: int
    ratio: float | None
    absent: Sequence[str]
    counted_as: str
    is_by_count: bool

    @property
    def before(self) -> int | None:
        """The start of the classes before these; None where there are none."""
        return max(0, self.start - CLASSES_SHOWN) if self.start else None

    @property
    def after(self) -> int | None:
        """The start of the classes after these; None where there are none."""
        end = self.start + len(self.rows)
        return end if end < self.total else None


def balance_of(
    report: Mapping[str, Any], statistics: Mapping[str, Any] | None, query: Mapping[str, str]
) -> ClassPage:
    """Return the classes that a page shows.

    Args:
        report: of the version.
        statistics: of the version; None if an earlier release verified it.
        query: `order=count` for the most frequent class first, `from` for the first one to show.
    """
    splits = list(report["class_counts"])
    rows = _rows(report, statistics, splits)
    in_train = [row.counts.get(TRAIN, 0) for row in rows]
    present = [count for count in in_train if count]
    is_by_count = query.get("order") == "count"
    shown = sorted(rows, key=lambda row: -row.counts.get(TRAIN, 0)) if is_by_count else rows
    start = min(whole_number(query.get("from", ""), otherwise=0), max(0, len(rows) - 1))
    return ClassPage(
        rows=shown[start : start + CLASSES_SHOWN],
        start=start,
        total=len(rows),
        splits=splits,
        most=max(present, default=0),
        ratio=max(present) / min(present) if len(present) > 1 else None,
        absent=[row.name for row, count in zip(rows, in_train, strict=True) if not count],
        counted_as=COUNTED_AS.get(report["task"], OBJECTS),
        is_by_count=is_by_count,
    )


def _rows(
    report: Mapping[str, Any], statistics: Mapping[str, Any] | None, splits: Sequence[str]
) -> list[ClassRow]:
    weights = statistics["implied_weights"] if statistics else {}
    inverse, balanced = weights.get("inverse_frequency") or {}, weights.get("balanced") or {}
    return [
        ClassRow(
            name=name,
            key=key_of(number),
            counts={split: _count(report, statistics, split, number, name) for split in splits},
            inverse=inverse.get(name),
            balanced=balanced.get(name),
        )
        for number, name in enumerate(report["classes"])
    ]


def _count(
    report: Mapping[str, Any],
    statistics: Mapping[str, Any] | None,
    split: str,
    number: int,
    name: str,
) -> int:
    """Return the labels of a class; two classes of one name differ in the statistics only."""
    measured = statistics["instances"].get(split) if statistics else None
    counts = report["class_counts"][split]
    count: int = counts.get(name, 0) if measured is None else measured[number]
    return count
