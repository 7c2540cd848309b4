"""The jobs that a slot may run, and the claim of one of them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final, Self

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.events.repository import append_event
from app.fleet.repository import KnownSlot, lock_slot
from app.fleet.tables import Worker
from app.jobs.guards import sources_of
from app.jobs.spec.job_spec import SPEC_VERSION
from app.jobs.states import JobEvent, JobState, Phase
from app.jobs.tables import Attempt, Job
from app.quotas.lanes import (
    PROJECT,
    USER,
    LaneKey,
    end_turn,
    lanes_in_turn,
    may_run_more,
    other_than,
)
from app.quotas.tables import Lane

MAX_LANES_TRIED: Final = 8
"""Lanes that one claim looks into while other transactions change their jobs."""


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
    def of(cls, worker: Worker | KnownSlot) -> Self:
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
    return and_(Job.queue.in_(offer.queues), _suitable_for(offer))


def _suitable_for(offer: SlotOffer) -> ColumnElement[bool]:
    """Return the condition of `eligible_for` for the jobs of a queue of the slot."""
    return and_(
        # One equality per state: SQLite does not use the partial index of waiting jobs for IN.
        or_(*(Job.state == state for state in sources_of(JobEvent.CLAIM))),
        or_(Job.gpus.is_(None), Job.gpus == offer.gpus),
        or_(Job.trainer.is_(None), Job.trainer.in_(offer.plugins)),
        Job.spec_version
        <= SPEC_VERSION,  # a job of a later release waits for a worker that reads it
        or_(Job.not_before_at.is_(None), Job.not_before_at <= database_now()),
    )


def claim_job(
    session: Session, offer: SlotOffer, *, lease: timedelta, rung_for: str | None = None
) -> Job | None:
    """Claim the job of the bell, or else the best eligible one: see `app.quotas.lanes`.

    Jobs of a project or user that has reached its limit of running jobs are not eligible.

    Returns the claimed job, whose `attempt` is the fencing token, or None if no job is eligible or
    the slot is cordoned.
    """
    slot = lock_slot(session, offer.worker_id)
    if slot is not None and slot.cordon is not None:
        return None
    name = None if slot is None else slot.name
    if rung_for is not None and _lock_free_job(session, offer, rung_for):
        return _claim(session, offer, rung_for, slot_name=name, lease=lease)
    tried: list[LaneKey] = []
    while len(tried) < MAX_LANES_TRIED:
        lane = _lock_next_lane(session, offer, tried)
        if lane is None:
            return None
        job_id = session.scalars(_first_locked(offer.gpus, offer.plugins), vars(lane)).first()
        if job_id is not None:
            return _claim(session, offer, job_id, slot_name=name, lease=lease)
        tried.append(lane)  # other transactions change the jobs that the lane has for this slot
    return None


def best_job(session: Session, offer: SlotOffer) -> tuple[str, int] | None:
    """Return id and `dispatch_seq` of the job that a claim of this slot would take, without a lock.

    A bell for it is rung.
    """
    lanes = _lanes_for(offer.queues, offer.gpus, offer.plugins)
    found = session.execute(lanes).one_or_none()
    if found is None:
        return None
    first = _first_of(offer.gpus, offer.plugins)
    job = session.execute(first, vars(LaneKey(*found))).one_or_none()
    return None if job is None else (job.id, job.dispatch_seq)


def best_job_of(session: Session, worker: Worker) -> tuple[str, int] | None:
    """Return the same for a registered slot; None if it is cordoned."""
    return None if worker.cordon is not None else best_job(session, SlotOffer.of(worker))


def _lock_free_job(session: Session, offer: SlotOffer, job_id: str) -> bool:
    """Lock a job and the rows of its limits. Return whether the slot may claim it now."""
    statement = (
        select(Job.id)
        .join(PROJECT, PROJECT.subject_id == Job.project_id)
        .join(USER, USER.subject_id == Job.owner_id)
        .where(Job.id == job_id, eligible_for(offer), may_run_more(PROJECT), may_run_more(USER))
    )
    return session.scalars(statement.with_for_update()).first() is not None


def _lock_next_lane(
    session: Session, offer: SlotOffer, tried: Collection[LaneKey]
) -> LaneKey | None:
    """Return the next lane with a job for the slot, with the rows of its limits locked.

    Transactions that claim or add jobs of a project or user at the same time take turns, so no
    limit is exceeded. First a project that is not locked is taken, as its turn is next anyway. If
    all are locked, one is waited for, and the next lane is chosen again: by the order from before,
    all that waited for one project would claim of it.
    """
    lanes = _lanes_for(offer.queues, offer.gpus, offer.plugins)
    if tried:
        lanes = lanes.where(other_than(tried))
    limits = (PROJECT, USER)
    if session.get_bind().dialect.name != "postgresql":  # writers are serial
        found = session.execute(lanes).one_or_none()
    else:
        unlocked = lanes.with_for_update(of=limits, skip_locked=True)
        found = session.execute(unlocked).one_or_none()
        if found is None:
            waited_for = session.execute(lanes.with_for_update(of=limits)).one_or_none()
            found = waited_for and (session.execute(unlocked).one_or_none() or waited_for)
    return None if found is None else LaneKey(*found)


# Each is built once for a kind of slot: building a statement takes longer than running it.
@lru_cache(maxsize=64)
def _lanes_for(
    queues: tuple[str, ...], gpus: int, plugins: tuple[str, ...]
) -> Select[str, int, str, str]:
    """Return the first lane in turn that has a job for the slot."""
    own = (Job.queue == Lane.queue, Job.priority == -Lane.rank)
    job = _oldest(
        SlotOffer("", queues, gpus, plugins),
        *own,
        Job.project_id == Lane.project_id,
        Job.owner_id == Lane.owner_id,
    )
    has_job = job.correlate(Lane).scalar_subquery().is_not(None)
    return lanes_in_turn(queues).where(has_job).limit(1)


@lru_cache(maxsize=64)
def _first_of(gpus: int, plugins: tuple[str, ...]) -> Select[str, int]:
    """Return id and `dispatch_seq` of the first job of a lane, whose key are the parameters."""
    oldest = _oldest(
        SlotOffer("", (), gpus, plugins),
        Job.queue == bindparam("queue"),
        Job.priority == -bindparam("rank", type_=Integer),
        Job.project_id == bindparam("project_id"),
        Job.owner_id == bindparam("owner_id"),
    )
    return oldest.add_columns(Job.dispatch_seq)


@lru_cache(maxsize=64)
def _first_locked(gpus: int, plugins: tuple[str, ...]) -> Select[str, int]:
    return _first_of(gpus, plugins).with_for_update(skip_locked=True)


def _oldest(offer: SlotOffer, *where: ColumnElement[bool]) -> Select[str]:
    return select(Job.id).where(*where, _suitable_for(offer)).order_by(Job.id).limit(1)


def _claim(
    session: Session, offer: SlotOffer, job_id: str, *, slot_name: str | None, lease: timedelta
) -> Job:
    """Claim a job that this transaction has locked and found eligible."""
    statement = (
        update(Job)
        .where(Job.id == job_id)
        .values(
            state=JobState.RUNNING,
            phase=Phase.PREPARING,
            attempt=Job.attempt + 1,
            worker_id=offer.worker_id,
            lease_expires_at=database_now(lease),
            not_before_at=None,
            last_seq=Job.last_seq + 1,
            started_at=func.coalesce(Job.started_at, database_now()),
        )
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    job = session.scalars(statement).one()
    lane = LaneKey(job.queue, -job.priority, job.project_id, job.owner_id)
    end_turn(session, lane, offer.queues)
    session.execute(
        insert(Attempt).values(
            job_id=job.id,
            number=job.attempt,
            worker_id=offer.worker_id,
            worker_name=slot_name,
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
