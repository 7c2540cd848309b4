"""Lists of datasets and versions: pages, counts by state, and how many jobs refer to each.

They never read the long columns of a version.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVarTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    column,
    func,
    literal,
    select,
    table,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.words import LAST_CHARACTER
from app.datasets.repository import LISTED, ListedDataset
from app.datasets.tables import Dataset, DatasetVersion, DatasetWord, VersionState

MAX_COUNT: Final = 1000
"""Counting stops here."""
EXAMINED: Final = 10_000
"""Counting by state examines at most this many datasets, the newest first."""
JOBS: Final = table("jobs", column("dataset_id"), column("dataset_version_id"))
"""The columns of jobs that refer to datasets; jobs are built on datasets, not the reverse."""

Columns = TypeVarTuple("Columns")
SortKey = Literal["created", "name"]


@dataclass(frozen=True)
class DatasetFilter:
    """The filters of a list; None and empty match everything.

    `state` and `task` are those of the newest version. `words` are beginnings of words of the name.
    """

    name: str | None = None
    state: VersionState | None = None
    task: str | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetOrder:
    """A list's order: `created` (by id) or `name`."""

    key: SortKey = "created"
    descending: bool = True

    def columns(self) -> list[InstrumentedAttribute[str]]:
        """Return the columns of the order; the last one is unique."""
        return [Dataset.id] if self.key == "created" else [Dataset.name, Dataset.id]

    def position(self, dataset: Dataset) -> list[str | float | None]:
        """Return a dataset's position in this order."""
        return [dataset.id] if self.key == "created" else [dataset.name, dataset.id]


@dataclass(frozen=True)
class StateCounts:
    """The number of datasets by state of the newest version; `capped` states may have more."""

    numbers: Mapping[VersionState, int]
    capped: tuple[VersionState, ...]


def dataset_page(
    session: Session,
    project_ids: Collection[str],
    filters: DatasetFilter,
    *,
    order: DatasetOrder,
    after: Sequence[str | float | None] | None,
    limit: int,
) -> list[ListedDataset]:
    """Return up to `limit` datasets after a position, in order, each with its newest version."""
    statement = _newest(select(Dataset, DatasetVersion).options(*LISTED), project_ids, filters)
    if filters.state is not None:
        statement = statement.where(DatasetVersion.state == filters.state)
    columns = order.columns()
    if after is not None:
        values = (literal(value, it.type) for it, value in zip(columns, after, strict=True))
        here, there = tuple_(*columns), tuple_(*values)
        statement = statement.where(here < there if order.descending else here > there)
    directed = [it.desc() if order.descending else it.asc() for it in columns]
    rows = session.execute(statement.order_by(*directed).limit(limit))
    return [ListedDataset(row.Dataset, row.DatasetVersion) for row in rows]


def counts_by_state(
    session: Session, project_ids: Collection[str], filters: DatasetFilter
) -> StateCounts:
    """Count the datasets of a list by state, under its filters but for that of the state."""
    newest = _newest(select(DatasetVersion.state), project_ids, filters)
    examined = newest.order_by(Dataset.id.desc()).limit(EXAMINED).subquery()
    counted = select(examined.c.state, func.count()).group_by(examined.c.state)
    found: dict[VersionState, int] = dict(session.execute(counted).all())
    cut = sum(found.values()) >= EXAMINED
    return StateCounts(
        {state: min(found.get(state, 0), MAX_COUNT) for state in VersionState},
        tuple(state for state in VersionState if cut or found.get(state, 0) >= MAX_COUNT),
    )


def jobs_of_datasets(session: Session, dataset_ids: Sequence[str]) -> dict[str, int]:
    """Return the number of jobs of each dataset, at most `MAX_COUNT`. One statement."""
    return _jobs_of(session, Dataset.id, JOBS.c.dataset_id, dataset_ids)


def jobs_of_versions(session: Session, version_ids: Sequence[str]) -> dict[str, int]:
    """Return the number of jobs of each version, at most `MAX_COUNT`. One statement."""
    return _jobs_of(session, DatasetVersion.id, JOBS.c.dataset_version_id, version_ids)


def _jobs_of(
    session: Session,
    of: InstrumentedAttribute[str],
    reference: ColumnElement[str],
    ids: Sequence[str],
) -> dict[str, int]:
    some = select(literal(1)).select_from(JOBS).where(reference == of).limit(MAX_COUNT)
    number = select(func.count()).select_from(some.correlate(of.class_).subquery())
    counted = select(of, number.scalar_subquery()).where(of.in_(ids))
    return dict(session.execute(counted).all())


def _newest(
    columns: Select[*Columns], project_ids: Collection[str], filters: DatasetFilter
) -> Select[*Columns]:
    """Select of the datasets of a list, joined with their newest versions."""
    newest = (
        select(func.max(DatasetVersion.number))
        .where(DatasetVersion.dataset_id == Dataset.id)
        .correlate(Dataset)
        .scalar_subquery()
    )
    statement = columns.where(
        Dataset.project_id.in_(project_ids),
        DatasetVersion.dataset_id == Dataset.id,
        DatasetVersion.number == newest,
    )
    if filters.name is not None:
        statement = statement.where(Dataset.name == filters.name)
    if filters.task is not None:
        task = func.coalesce(DatasetVersion.task, DatasetVersion.declared_task)
        statement = statement.where(task == filters.task)
    for word in filters.words:
        named = select(DatasetWord.dataset_id).where(
            DatasetWord.project_id.in_(project_ids),
            DatasetWord.word.between(word, word + LAST_CHARACTER),
        )
        statement = statement.where(Dataset.id.in_(named))
    return statement
