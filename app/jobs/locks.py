"""A worker's hold on a job, and the row locks that begin every transaction on a job.

A lock is an UPDATE, because after a mere SELECT a stale attempt could still insert rows on
PostgreSQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Table, update
from sqlalchemy.orm import Session

from app.jobs.states import JobState, Request
from app.jobs.tables import Job

_JOBS: Final = cast("Table", Job.__table__)
_MARK: Final = "mark"
"""The key under which `mark_write` leaves the mark with the session."""


@dataclass(frozen=True)
class Hold:
    """A worker's right to write to a job: valid while the job runs and is not claimed again."""

    job_id: str
    attempt: int


class Fenced(Exception):
    """The hold is no longer valid: another attempt was claimed, or the job ended."""


@dataclass(frozen=True)
class HeldRow:
    """The columns of a held job's row that its worker asks for; the whole row is large."""

    last_seq: int
    request: Request | None
    threads: int | None
    best_epoch: int | None
    best_metric: str | None


class AlreadyWritten(Exception):
    """The transaction of this mark was committed, and the answer to its COMMIT was lost."""


def lock_job(session: Session, *where: ColumnElement[bool]) -> Job | None:
    """Lock the row of one job and return its current state; None if no row matches."""
    statement = (
        update(Job)
        .where(*where)
        .values(revision=Job.revision)
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    return session.scalars(statement).one_or_none()


def lock_held(session: Session, hold: Hold) -> Job:
    """Lock the row of a held job.

    Raises:
        Fenced: the hold is no longer valid; the caller must not write for this job again.
    """
    job = lock_job(session, *held_by(hold))
    if job is None:
        raise Fenced(hold)
    return job


def held_by(hold: Hold) -> Sequence[ColumnElement[bool]]:
    """Return the condition of the guarded UPDATE that begins every transaction of a worker."""
    return (Job.id == hold.job_id, Job.attempt == hold.attempt, Job.state == JobState.RUNNING)


def guarded_update(session: Session, hold: Hold, values: Mapping[str, Any]) -> HeldRow:
    """Change the held job's row and return columns of it, with its row lock held.

    Raises:
        Fenced: the hold is no longer valid.
        AlreadyWritten: see `mark_write`.
    """
    mark = session.info.pop(_MARK, None)
    if mark is None:
        row = _updated(session, hold, values)
    else:
        unmarked = Job.last_write.is_distinct_from(mark)
        row = _updated(session, hold, {**values, "last_write": mark}, unmarked)
        if row is None and _updated(session, hold, {"last_seq": Job.last_seq}) is not None:
            raise AlreadyWritten
    if row is None:
        raise Fenced(hold)
    return row


def _updated(
    session: Session, hold: Hold, values: Mapping[str, Any], *further: ColumnElement[bool]
) -> HeldRow | None:
    columns = (Job.last_seq, Job.request, Job.threads, Job.best_epoch, Job.best_metric)
    statement = update(_JOBS).where(*held_by(hold), *further).values(**values).returning(*columns)
    row = session.connection().execute(statement).one_or_none()
    return None if row is None else HeldRow(*row)


def mark_write(session: Session, mark: int) -> None:
    """Let the first guarded update of this transaction mark the row, too.

    That update raises `AlreadyWritten` if the row has the mark: an earlier try was committed.
    """
    session.info[_MARK] = mark


def set_columns(session: Session, job: Job, values: Mapping[str, Any]) -> None:
    """Update columns of a row that the caller has locked, and refresh `job`."""
    statement = (
        update(Job)
        .where(Job.id == job.id)
        .values(**values)
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    session.scalars(statement).one()
