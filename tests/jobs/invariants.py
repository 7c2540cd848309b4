"""Invariants of a job's rows that hold after every transaction."""

from dataclasses import dataclass

from sqlalchemy import select

from app.core.database import Database
from app.jobs.repository import attempts_of
from app.jobs.states import JobState, Request
from app.jobs.tables import Job
from tests.worlds.rows import events_of

BEFORE_THE_FIRST = 1
"""The event number that `a_job` has used: the use case that submits a job writes that event."""


@dataclass(frozen=True)
class Seen:
    """The state of a job, and its events in order."""

    state: JobState
    request: Request | None
    in_trash: bool
    events: tuple[str, ...]


def sound_job(database: Database, job_id: str) -> Seen:
    """Check the invariants of a job, and return its state and events."""
    with database.read() as unit:
        job = unit.session.scalars(select(Job).where(Job.id == job_id)).one()
        attempts = attempts_of(unit.session, job_id)
    events = events_of(database, job_id)
    runs = job.state is JobState.RUNNING
    numbers = [row.seq for row in events]
    assert numbers == list(range(BEFORE_THE_FIRST + 1, job.last_seq + 1)), "events have gaps"
    assert (job.lease_expires_at is not None) == runs, "a lease without a run"
    assert (job.phase is not None) == runs, "a phase without a run"
    assert (job.ended_at is not None) == job.state.is_ended, "ended at some time, or not"
    assert [row.number for row in attempts] == list(range(1, job.attempt + 1))
    assert [row.number for row in attempts if row.ended_at is None] == [job.attempt] * runs
    types = tuple(row.type for row in events)
    assert types.count("job.started") == job.attempt, "claims and events differ"
    return Seen(job.state, job.request, job.trashed_at is not None, types)
