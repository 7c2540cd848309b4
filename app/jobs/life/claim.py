"""The jobs that a slot may run, and the claim of one of them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.events.repository import append_event
from app.fleet.tables import Worker
from app.jobs.guards import sources_of
from app.jobs.locks import set_columns
from app.jobs.spec.job_spec import SPEC_VERSION
from app.jobs.states import JobEvent, JobState, Phase
from app.jobs.tables import Attempt, Job


@dataclass(frozen=True)
class Demand:
    """What a job requires of a slot. None: any number of GPUs; no trainer plugin."""

    queue: str
    gpus: int | None
    trainer: str | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the requirements of a submitted job."""
        return cls(job.queue, job.gpus, job.trainer)


@dataclass(frozen=True)
class SlotOffer:
    """What a slot can run. Eligibility depends on these fields only."""

    worker_id: str
    queues: tuple[str, ...]
    gpus: int
    plugins: tuple[str, ...] = ()

    @classmethod
    def of(cls, worker: Worker) -> Self:
        """Return the offer of a registered slot."""
        return cls(worker.id, tuple(worker.queues), worker.gpus, tuple(worker.plugin_names))

    def suits(self, demand: Demand) -> bool:
        """Return whether the slot can run such a job: `eligible_for` without state and back-off.

        The spec's version is not checked: only the slot knows which versions its release reads.
        """
        return (
            demand.queue in self.queues
            and demand.gpus in {None, self.gpus}
            and (demand.trainer is None or demand.trainer in self.plugins)
        )


def eligible_for(offer: SlotOffer) -> ColumnElement[bool]:
    """Return the SQL condition for jobs that this slot may claim now."""
    return and_(
        # One equality per state: SQLite does not use the partial index of waiting jobs for IN.
        or_(*(Job.state == state for state in sources_of(JobEvent.CLAIM))),
        Job.queue.in_(offer.queues),
        or_(Job.gpus.is_(None), Job.gpus == offer.gpus),
        or_(Job.trainer.is_(None), Job.trainer.in_(offer.plugins)),
        Job.spec_version
        <= SPEC_VERSION,  # a job of a later release waits for a worker that reads it
        or_(Job.not_before_at.is_(None), Job.not_before_at <= database_now()),
    )


def claim_job(
    session: Session, offer: SlotOffer, *, lease: timedelta, rung_for: str | None = None
) -> Job | None:
    """Claim the job of the bell, or else the best eligible one, by priority and then by age.

    Returns the claimed job, whose `attempt` is the fencing token, or None if no job is eligible.
    """
    if rung_for is not None:
        job = _claim(session, offer, Job.id == rung_for, lease=lease)
        if job is not None:
            return job
    best = (
        select(Job.id)
        .where(eligible_for(offer))
        .order_by(Job.priority.desc(), Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return _claim(session, offer, Job.id == best, lease=lease)


def _claim(
    session: Session, offer: SlotOffer, which: ColumnElement[bool], *, lease: timedelta
) -> Job | None:
    statement = (
        update(Job)
        .where(which, eligible_for(offer))
        .values(
            state=JobState.RUNNING,
            phase=Phase.PREPARING,
            attempt=Job.attempt + 1,
            worker_id=offer.worker_id,
            lease_expires_at=database_now(lease),
            not_before_at=None,
            last_seq=Job.last_seq + 1,
        )
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    job = session.scalars(statement).one_or_none()
    if job is None:
        return None
    if job.started_at is None:
        set_columns(session, job, {"started_at": database_now()})
    session.execute(
        insert(Attempt).values(
            job_id=job.id,
            number=job.attempt,
            worker_id=offer.worker_id,
            started_at=database_now(),
            resumed="none",  # until its trainer reports how it resumed
        )
    )
    append_event(
        session,
        job.id,
        job.last_seq,
        "job.started",
        data={"attempt": job.attempt, "worker": offer.worker_id},
    )
    return job
