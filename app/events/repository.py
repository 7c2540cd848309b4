"""Writes and queries of the event log of a job."""

from collections.abc import Mapping, Sequence
from typing import cast

from pydantic import JsonValue
from sqlalchemy import Table, insert, select
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.events.tables import EventRow, Level

# Built once: building a statement takes longer than running it.
_INSERT_EVENT = insert(cast("Table", EventRow.__table__)).values(created_at=database_now())


def append_event(
    session: Session,
    job_id: str,
    seq: int,
    type_: str,
    *,
    level: Level = Level.INFO,
    data: Mapping[str, JsonValue] | None = None,
) -> None:
    """Insert one event. Take `seq` from `jobs.last_seq` in the same transaction."""
    row = {"job_id": job_id, "seq": seq, "type": type_, "level": level, "data": dict(data or {})}
    session.connection().execute(_INSERT_EVENT, row)


def events_after(session: Session, job_id: str, *, seq: int, limit: int) -> Sequence[EventRow]:
    """Return up to `limit` events of a job after `seq`, oldest first."""
    statement = (
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.seq > seq)
        .order_by(EventRow.seq)
        .limit(limit)
    )
    return session.scalars(statement).all()


def newest_event(session: Session, job_id: str, type_: str) -> EventRow | None:
    """Return a job's newest event of a type, or None."""
    statement = (
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.type == type_)
        .order_by(EventRow.seq.desc())
        .limit(1)
    )
    return session.scalars(statement).first()
