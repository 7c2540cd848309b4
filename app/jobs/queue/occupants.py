"""The running job of each slot, with its progress."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import literal, select
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.jobs.states import JobState
from app.jobs.tables import Job, JobProgress


@dataclass(frozen=True)
class Occupant:
    """A running job, and how far it is. Progress of an earlier attempt counts, too.

    `now` is the database's time at which it was read.
    """

    worker_id: str
    job_id: str
    name: str
    project_id: str
    owner_id: str
    epoch: int | None
    epochs: int | None
    batch: int | None
    batches: int | None
    eta_seconds: float | None
    updated_at: datetime | None
    now: datetime

    @property
    def done(self) -> float | None:
        """The finished share of all epochs, from 0 to 1; None before the first progress."""
        return share_done(self.epoch, self.epochs, self.batch, self.batches)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until its last epoch ends, as it was estimated; None without an estimate."""
        if self.eta_seconds is None or self.updated_at is None:
            return None
        return max(0.0, self.eta_seconds - (self.now - self.updated_at).total_seconds())


def share_done(
    epoch: int | None, epochs: int | None, batch: int | None, batches: int | None
) -> float | None:
    """Return the finished share of all epochs, with that of the current one; None without any."""
    if not epoch or not epochs:
        return None
    of_epoch = (batch or 0) / batches if batches else 0.0
    return min(1.0, (epoch - 1 + of_epoch) / epochs)


_RUNNING = (
    select(
        Job.worker_id,
        Job.id,
        Job.name,
        Job.project_id,
        Job.owner_id,
        JobProgress.epoch,
        JobProgress.epochs,
        JobProgress.batch,
        JobProgress.batches,
        JobProgress.eta_seconds,
        JobProgress.updated_at,
        database_now(),
    )
    .outerjoin(JobProgress, JobProgress.job_id == Job.id)
    # A literal: with a parameter SQLite does not use the partial index.
    .where(Job.state == literal(JobState.RUNNING, Job.state.type, literal_execute=True))
)


def occupants(session: Session, worker_id: str | None = None) -> dict[str, Occupant]:
    """Return the running jobs of all projects by slot, or that of one slot."""
    statement = _RUNNING if worker_id is None else _RUNNING.where(Job.worker_id == worker_id)
    # A tuple of any type: type checkers do not count the columns of a row.
    rows: list[tuple[Any, ...]] = [tuple(row) for row in session.execute(statement)]
    return {row[0]: Occupant(*row) for row in rows}
