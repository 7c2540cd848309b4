"""A worker's hold on a job, and the row locks that begin every transaction on a job.

A lock is an UPDATE, because after a mere SELECT a stale attempt could still insert rows on
PostgreSQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from app.jobs.states import JobState
from app.jobs.tables import Job


@dataclass(frozen=True)
class Hold:
    """A worker's right to write to a job: valid while the job runs and is not claimed again."""

    job_id: str
    attempt: int


class Fenced(Exception):
    """The hold is no longer valid: another attempt was claimed, or the job ended."""


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
