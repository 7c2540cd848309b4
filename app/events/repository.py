"""Writes of the event log, and queries of the events of one job."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import JsonValue
from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    Table,
    TableClause,
    bindparam,
    column,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.orm import Session

from app.core.database import announce, database_now
from app.core.wake_ups import LOG
from app.events.tables import EPOCH_FINISHED, EventRow, Level

DATASET_EVENT: Final = "dataset."
"""The types of events of datasets: this and the state of the version, or `removed`."""

# The features of jobs and datasets import this module, so it cannot import their tables.
_JOBS = table("jobs", column("id"), column("project_id"))
_DATASETS = table("datasets", column("id"), column("project_id"))
_VERSIONS = table("dataset_versions", column("id"), column("dataset_id"))


def _insert(**values: Select[Any]) -> Insert:
    statement = insert(cast("Table", EventRow.__table__)).inline()
    looked_up = {name: value.scalar_subquery() for name, value in values.items()}
    return statement.values(created_at=database_now(), **looked_up)


def _project_of(owner: TableClause, id_: ColumnElement[str]) -> Select[Any]:
    return select(owner.c.project_id).where(owner.c.id == id_)


# Built once: building a statement takes longer than running it.
_DATASET = select(_VERSIONS.c.dataset_id).where(_VERSIONS.c.id == bindparam("of_version"))
_INSERT_OF_JOB = _insert(project_id=_project_of(_JOBS, bindparam("of_job")))
_INSERT_OF_VERSION = _insert(
    project_id=_project_of(_DATASETS, _DATASET.scalar_subquery()), dataset_id=_DATASET
)
_INSERT_OF_DATASET = _insert(project_id=_project_of(_DATASETS, bindparam("of_dataset")))

# As text: with a parameter SQLite does not use the partial index.
_IS_OF_NO_EPOCH = EventRow.type != literal_column(f"'{EPOCH_FINISHED}'")

PREFIX_END: Final = ".*"


@dataclass(frozen=True)
class EventFilter:
    """Which events of a job to return, and in which order.

    Args:
        types: exact names, or prefixes that end with `.*`; empty: all.
        level: the lowest level to return.
        newest_first: the order.
    """

    types: tuple[str, ...] = ()
    level: Level = Level.INFO
    newest_first: bool = False

    @property
    def excludes_epochs(self) -> bool:
        """Whether no finished epoch passes. A query then reads an index without them."""
        return self.level is not Level.INFO or (
            bool(self.types) and not any(_is_of(EPOCH_FINISHED, name) for name in self.types)
        )


def append_event(
    session: Session,
    job_id: str,
    seq: int,
    type_: str,
    *,
    level: Level = Level.INFO,
    data: Mapping[str, JsonValue] | None = None,
) -> None:
    """Insert one event of a job. Take `seq` from `jobs.last_seq` in the same transaction."""
    row = {"job_id": job_id, "seq": seq, "type": type_, "level": level, "data": dict(data or {})}
    _append(session, _INSERT_OF_JOB, {**row, "of_job": job_id})


def append_version_event(
    session: Session,
    version_id: str,
    state: str,
    *,
    data: Mapping[str, JsonValue] | None = None,
) -> None:
    """Insert the event that a version of a dataset has a state, in the transaction that sets it."""
    row = {**_dataset_row(state, data), "version_id": version_id, "of_version": version_id}
    _append(session, _INSERT_OF_VERSION, row)


def replace_dataset_events(session: Session, dataset_id: str) -> None:
    """Replace the events of a dataset by the one that it was removed.

    Call it in the transaction that deletes the dataset, while its row exists.
    """
    session.execute(delete(EventRow).where(EventRow.dataset_id == dataset_id))
    row = {**_dataset_row("removed", None), "dataset_id": dataset_id, "of_dataset": dataset_id}
    _append(session, _INSERT_OF_DATASET, row)


def _append(session: Session, statement: Insert, row: Mapping[str, object]) -> None:
    session.connection().execute(statement, row)
    announce(session, LOG)


def _dataset_row(state: str, data: Mapping[str, JsonValue] | None) -> dict[str, object]:
    return {"type": f"{DATASET_EVENT}{state}", "level": Level.INFO, "data": dict(data or {})}


def newest_event(session: Session, job_id: str, type_: str) -> EventRow | None:
    """Return a job's newest event of a type, or None."""
    statement = (
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.type == type_)
        .order_by(EventRow.seq.desc())
        .limit(1)
    )
    return session.scalars(statement).first()


def events_of_types(session: Session, job_id: str, types: Collection[str]) -> Sequence[EventRow]:
    """Return a job's events of some types, none of which is that of finished epochs, in order."""
    statement = (
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.type.in_(types), _IS_OF_NO_EPOCH)
        .order_by(EventRow.seq)
    )
    return session.scalars(statement).all()


def events_page(
    session: Session, job_id: str, chosen: EventFilter, *, after: int | None, limit: int
) -> Sequence[EventRow]:
    """Return up to `limit` events of a job behind the event `after`, in the order of the filter.

    Finished epochs, by far the most events of a long training, are not read where none is chosen.
    """
    clauses: list[ColumnElement[bool]] = [EventRow.job_id == job_id]
    if after is not None:
        is_behind = EventRow.seq < after if chosen.newest_first else EventRow.seq > after
        clauses.append(is_behind)
    if chosen.excludes_epochs:
        clauses.append(_IS_OF_NO_EPOCH)
    if chosen.level is not Level.INFO:
        levels = list(Level)
        clauses.append(EventRow.level.in_(levels[levels.index(chosen.level) :]))
    if chosen.types:
        clauses.append(or_(*map(_has_type, chosen.types)))
    order = EventRow.seq.desc() if chosen.newest_first else EventRow.seq
    return session.scalars(select(EventRow).where(*clauses).order_by(order).limit(limit)).all()


def _is_of(type_: str, name: str) -> bool:
    if name.endswith(PREFIX_END):
        return type_.startswith(name.removesuffix("*"))
    return type_ == name


def _has_type(name: str) -> ColumnElement[bool]:
    if not name.endswith(PREFIX_END):
        return EventRow.type == name
    prefix = name.removesuffix("*")
    return func.substr(EventRow.type, 1, len(prefix)) == prefix
