"""Per-class metrics: the columns of an epoch are packed into one row, and read by class name.

With 80 classes an epoch has 9 KB of JSON, and a fifth of that packed.
"""

import json
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TextIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.csv_tables import CsvTable
from app.datasets.repository import class_names
from app.jobs.tables import EpochClasses, Job

Columns = Mapping[str, Sequence[float | None]]
"""One value per class of the dataset, in its order, by column name. null: not measurable."""

ROWS_AT_ONCE = 50


def packed(columns: Columns) -> bytes:
    """Return columns in the format of `epoch_classes`."""
    return zlib.compress(json.dumps(columns, allow_nan=False, separators=(",", ":")).encode())


def unpacked(content: bytes) -> Columns:
    """Return the columns of a row."""
    columns: Columns = json.loads(zlib.decompress(content))
    return columns


def epoch_classes(session: Session, job_id: str, epoch: int | None) -> EpochClasses | None:
    """Return the row of an epoch. None as epoch: of the newest epoch with per-class metrics."""
    statement = select(EpochClasses).where(EpochClasses.job_id == job_id)
    if epoch is not None:
        statement = statement.where(EpochClasses.epoch == epoch)
    return session.scalars(statement.order_by(EpochClasses.epoch.desc()).limit(1)).first()


@dataclass(frozen=True)
class ClassSeries:
    """The scores of each class in several epochs: by column, one list for each class."""

    epochs: list[int]
    classes: list[str]
    columns: dict[str, list[list[float | None]]]

    def add(self, epoch: int, columns: Columns) -> int:
        """Add an epoch and return the number of its values."""
        missing: list[float | None] = [None] * len(self.epochs)
        for name in columns:
            if name not in self.columns:
                self.columns[name] = [list(missing) for _ in self.classes]
        for name, of_classes in self.columns.items():
            scores = columns.get(name, ())
            for place, series in enumerate(of_classes):
                series.append(scores[place] if place < len(scores) else None)
        self.epochs.append(epoch)
        return len(self.columns) * len(self.classes)


def class_series(
    session: Session, job: Job, *, first: int, last: int | None, most: int
) -> ClassSeries | None:
    """Return the scores in the epochs from `first` to `last`; None if these have none.

    None as `last` is the last one. Stops reading after the epoch with which there are more than
    `most` values.
    """
    classes = list(class_names(session, job.dataset_version_id))
    found = ClassSeries([], classes, {})
    values = 0
    with closing(_epochs(session, job.id, first=first, last=last)) as epochs:
        for epoch, columns in epochs:
            values += found.add(epoch, columns)
            if values > most:
                break
    return found if found.epochs else None


def write_class_table(session: Session, job: Job, file: TextIO) -> bool:
    """Write the CSV of all epochs: epoch, class and the columns. Return False if there are none.

    Streams: the rows of a long training with many classes do not have to fit into memory.
    """
    table = CsvTable(file)
    header: list[str] = []
    classes = class_names(session, job.dataset_version_id)
    for epoch, columns in _epochs(session, job.id):
        if not header:
            header = list(columns)
            table.write(["epoch", "class", *header])
        values = (columns.get(name, [None] * len(classes)) for name in header)
        for row in zip(classes, *values, strict=False):
            table.write([epoch, *row])
    return bool(header)


def _epochs(
    session: Session, job_id: str, *, first: int = 1, last: int | None = None
) -> Generator[tuple[int, Columns]]:
    within = EpochClasses.epoch >= first
    if last is not None:
        within &= EpochClasses.epoch <= last
    statement = (
        select(EpochClasses.epoch, EpochClasses.columns)
        .where(EpochClasses.job_id == job_id, within)
        .order_by(EpochClasses.epoch)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    with session.execute(statement) as rows:
        for epoch, content in rows:
            yield epoch, unpacked(content)
