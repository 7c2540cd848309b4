"""Writing and reading the event log of a job."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.events.tables import EventRow, Level


def append_event(
    session: Session,
    job_id: str,
    seq: int,
    type_: str,
    *,
    level: Level = Level.INFO,
    data: Mapping[str, JsonValue] | None = None,
) -> None:
    """Insert one event; `seq` was taken from `jobs.last_seq` in the same transaction."""
    session.execute(
        insert(EventRow).values(
            job_id=job_id,
            seq=seq,
            type=type_,
            level=level,
            data=dict(data or {}),
            created_at=database_now(),
        )
    )


def events_after(session: Session, job_id: str, *, seq: int, limit: int) -> Sequence[EventRow]:
    """Return a job's events with a greater number than `seq`, oldest first."""
    statement = (
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.seq > seq)
        .order_by(EventRow.seq)
        .limit(limit)
    )
    return session.scalars(statement).all()
