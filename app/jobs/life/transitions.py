"""The one place that changes a job's state: claims, and every other event of the table.

Each function locks the job's row first, with an UPDATE: a SELECT is no guard, since on PostgreSQL
a stale attempt's insert would land after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from pydantic import JsonValue
from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.orm import Session

from app.artifacts.repository import drop_superseded_checkpoints, has_checkpoint
from app.artifacts.resume_sets import KeptSets
from app.core.database import database_now
from app.events.repository import append_event
from app.events.tables import Level
from app.fleet.tables import Worker
from app.jobs.guards import JobFacts, request_after, sources_of, transition_for
from app.jobs.spec.job_spec import SPEC_VERSION
from app.jobs.states import EndReason, JobEvent, JobState, Phase, Transition
from app.jobs.tables import Attempt, Epoch, Job

BACKOFF_FACTOR = 2.0
BACKOFF_DOUBLINGS = 20
BACKOFF_MAX_SECONDS = 600.0
USER_CHANGES: Mapping[JobEvent, Mapping[str, Any]] = {
    JobEvent.RETRY: {"restarts": 0, "ran_seconds": 0.0},
    JobEvent.DELETE: {"trashed_at": database_now()},
    JobEvent.RESTORE: {"trashed_at": None},
}
"""What an event changes beside the state: a retry has all its restarts and its time again."""


@dataclass(frozen=True)
class Hold:
    """A worker's title to a job: valid while the job runs and no later claim was made."""

    job_id: str
    attempt: int


@dataclass(frozen=True)
class SlotOffer:
    """What a slot can run: eligibility is judged by these alone."""

    worker_id: str
    queues: tuple[str, ...]
    gpus: int
    plugins: tuple[str, ...] = ()

    @classmethod
    def of(cls, worker: Worker) -> Self:
        """Return what a registered slot offers."""
        return cls(worker.id, tuple(worker.queues), worker.gpus, tuple(worker.plugin_names))

    def suits(self, job: Job) -> bool:
        """Whether the slot could run the job once it waits: `eligible_for`, asked of one row.

        Which version of specs the slot's own release reads it alone knows, as it claims.
        """
        return (
            job.queue in self.queues
            and job.gpus in {None, self.gpus}
            and (job.trainer is None or job.trainer in self.plugins)
        )


@dataclass(frozen=True)
class HalvedBatch:
    """A batch size for which memory did not suffice, and that of the next attempt."""

    before: int
    after: int


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended: its reason, the process's exit code (negative: signal), the words.

    `halved` is the batch to go on with, if the job goes on.
    """

    reason: EndReason
    exit_code: int | None = None
    message: str | None = None
    hint: str | None = None
    restart_backoff: timedelta = timedelta(0)
    halved: HalvedBatch | None = None


@dataclass(frozen=True)
class Applied:
    """A transition that was made: the job as it stands now."""

    job: Job
    transition: Transition

    @property
    def rings(self) -> bool:
        """Whether a doorbell is due: the job waits for a slot and may be claimed now."""
        return self.job.state is JobState.QUEUED and not self.transition.changes_nothing


@dataclass(frozen=True)
class Refused:
    """The table has no row for this event in the job's situation."""

    facts: JobFacts


class Fenced(Exception):
    """The hold is not valid any more: another attempt was claimed, or the job ended."""


def eligible_for(offer: SlotOffer) -> ColumnElement[bool]:
    """The predicate of a job that this slot may claim now."""
    return and_(
        # One equality for each: SQLite does not see the partial index of waiting jobs behind IN.
        or_(*(Job.state == state for state in sources_of(JobEvent.CLAIM))),
        Job.queue.in_(offer.queues),
        or_(Job.gpus.is_(None), Job.gpus == offer.gpus),
        or_(Job.trainer.is_(None), Job.trainer.in_(offer.plugins)),
        Job.spec_version <= SPEC_VERSION,  # a later release's job waits for a worker that reads it
        or_(Job.not_before_at.is_(None), Job.not_before_at <= database_now()),
    )


def claim_job(
    session: Session, offer: SlotOffer, *, lease: timedelta, rung_for: str | None = None
) -> Job | None:
    """Claim the job that was rung for, or else the best eligible one: priority, then age.

    Returns the job as claimed (its `attempt` is the fencing token), or None where nothing waits.
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
        _set(session, job, {"started_at": database_now()})
    session.execute(
        insert(Attempt).values(
            job_id=job.id,
            number=job.attempt,
            worker_id=offer.worker_id,
            started_at=database_now(),
            resumed="none",  # until its trainer says how it went on
        )
    )
    data: dict[str, JsonValue] = {"attempt": job.attempt, "worker": offer.worker_id}
    append_event(session, job.id, job.last_seq, "job.started", data=data)
    return job


def lock_job(session: Session, *where: ColumnElement[bool]) -> Job | None:
    """Take the row lock of one job and return it as it stands; None where no row matches."""
    statement = (
        update(Job)
        .where(*where)
        .values(revision=Job.revision)
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    return session.scalars(statement).one_or_none()


def lock_held(session: Session, hold: Hold) -> Job:
    """Take the row lock of a held job.

    Raises:
        Fenced: the hold is not valid any more; the caller writes nothing more for it.
    """
    job = lock_job(session, *held_by(hold))
    if job is None:
        raise Fenced(hold)
    return job


def held_by(hold: Hold) -> Sequence[ColumnElement[bool]]:
    """The guard that begins every transaction of a worker."""
    return (Job.id == hold.job_id, Job.attempt == hold.attempt, Job.state == JobState.RUNNING)


def facts_of(session: Session, job: Job) -> JobFacts:
    """Return what the guards of the transition table are judged by."""
    has_epoch = session.scalars(select(Epoch.epoch).where(Epoch.job_id == job.id).limit(1)).first()
    return JobFacts(
        state=job.state,
        request=job.request,
        has_checkpoint=has_checkpoint(session, job.id),
        has_epoch=has_epoch is not None,
        restarts_left=job.restarts < job.max_restarts,
        in_trash=job.trashed_at is not None,
    )


def apply_event(
    session: Session, job: Job, event: JobEvent, end: AttemptEnd | None = None
) -> Applied | Refused:
    """Make the transition that the table has for `event`; `job` is locked by the caller.

    `end` says how the running attempt ended, for events that end one.
    """
    facts = facts_of(session, job)
    transition = transition_for(event, facts)
    if transition is None:
        return Refused(facts)
    if transition.changes_nothing:
        return Applied(job, transition)
    leaves_running = (
        transition.source is JobState.RUNNING and transition.target is not JobState.RUNNING
    )
    values: dict[str, Any] = {
        "state": transition.target,
        "request": request_after(transition, job.request),
        "last_seq": job.last_seq + 1,
    }
    if event in USER_CHANGES:
        values |= USER_CHANGES[event]
    if end and end.halved and not transition.target.is_ended:
        values["resolved_spec"] = _with_batch(job.resolved_spec, end.halved.after)
    if transition.target is not transition.source:
        values |= _on_arrival(job, transition, end)
    if leaves_running:
        values |= _after_running(job, transition, event, end)
        values["ran_seconds"] = job.ran_seconds + _close_attempt(session, job, transition, end)
    _set(session, job, values)
    if transition.target.is_ended and not transition.source.is_ended:
        _drop_superseded(session, job)
    append_event(
        session,
        job.id,
        job.last_seq,
        transition.logged_as or event.value,
        level=Level.ERROR if transition.target is JobState.FAILED else Level.INFO,
        data=_event_data(job, transition, end),
    )
    return Applied(job, transition)


def _drop_superseded(session: Session, job: Job) -> None:
    """Keep of the checkpoints what may still go on from the ended job."""
    kept = KeptSets.of_ended(succeeded=job.state is JobState.SUCCEEDED)
    drop_superseded_checkpoints(session, job.id, kept, grace=timedelta())


def _after_running(
    job: Job, transition: Transition, event: JobEvent, end: AttemptEnd | None
) -> dict[str, Any]:
    values: dict[str, Any] = {"phase": None, "lease_expires_at": None}
    if end is None or transition.target is not JobState.QUEUED:
        return values
    if event is JobEvent.INTERRUPT and end.reason.consequence.counted:
        # Bounded: a job that is to be stopped is finalized again however often that breaks off.
        factor = BACKOFF_FACTOR ** min(job.restarts, BACKOFF_DOUBLINGS)
        pause = end.restart_backoff.total_seconds() * factor
        values["restarts"] = job.restarts + 1
        values["not_before_at"] = database_now(timedelta(seconds=min(pause, BACKOFF_MAX_SECONDS)))
    return values


def _on_arrival(job: Job, transition: Transition, end: AttemptEnd | None) -> dict[str, Any]:
    if transition.target is JobState.QUEUED:
        return {
            "dispatch_seq": job.dispatch_seq + 1,
            "dispatched_at": database_now(),
            "not_before_at": None,
            "ended_at": None,
            "end_reason": None,
            "error_message": None,
            "error_hint": None,
        }
    if not transition.target.is_ended:
        return {}
    reason = transition.forced_reason or (end.reason if end else None)
    values: dict[str, Any] = {"ended_at": database_now(), "end_reason": reason}
    if transition.target is JobState.FAILED and reason is not None:
        values["error_message"] = end.message if end and end.message else reason.value
        hint = end.hint if end and end.hint and transition.forced_reason is None else None
        values["error_hint"] = hint or reason.consequence.hint
    return values


def _close_attempt(
    session: Session, job: Job, transition: Transition, end: AttemptEnd | None
) -> float:
    """Close the open attempt and return how long it ran, in seconds of the database's clock."""
    statement = (
        update(Attempt)
        .where(Attempt.job_id == job.id, Attempt.ended_at.is_(None))
        .values(
            ended_at=database_now(),
            end_reason=end.reason if end else transition.forced_reason,
            exit_code=end.exit_code if end else None,
            message=end.message if end else None,
        )
        .returning(Attempt)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    attempt = session.scalars(statement).one()
    ended_at = attempt.ended_at or attempt.started_at
    return (ended_at - attempt.started_at).total_seconds()


def _with_batch(resolved: dict[str, Any], batch: int) -> dict[str, Any]:
    return resolved | {"train": resolved["train"] | {"batch": batch}}


def _event_data(job: Job, transition: Transition, end: AttemptEnd | None) -> dict[str, JsonValue]:
    data: dict[str, JsonValue] = {"attempt": job.attempt} if job.attempt else {}
    if end is not None:
        data["reason"] = end.reason.value
        if end.message:
            data["message"] = end.message
        if end.halved and not transition.target.is_ended:
            data |= {"from": end.halved.before, "to": end.halved.after}
    return data


def _set(session: Session, job: Job, values: dict[str, Any]) -> None:
    statement = (
        update(Job)
        .where(Job.id == job.id)
        .values(**values)
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    session.scalars(statement).one()
