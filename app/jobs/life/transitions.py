"""Apply the events of the transition table. Only this module and the claim change a job's state.

The caller has locked the job's row (`app.jobs.locks`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pydantic import JsonValue
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.artifacts.repository import (
    drop_superseded_checkpoints,
    has_checkpoint,
    resume_epoch,
)
from app.artifacts.resume_sets import KeptSets
from app.core.database import database_now
from app.events.repository import append_event
from app.events.tables import Level
from app.jobs.end_reasons import EndReason
from app.jobs.guards import JobFacts, Transition, request_after, transition_for
from app.jobs.locks import set_columns
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import Attempt, Epoch, Job

BACKOFF_FACTOR = 2.0
BACKOFF_DOUBLINGS = 20
BACKOFF_MAX_SECONDS = 600.0
USER_CHANGES: Mapping[JobEvent, Mapping[str, Any]] = {
    JobEvent.RETRY: {
        "restarts": 0,
        "ran_seconds": 0.0,
        "earlier_seconds": Job.earlier_seconds + Job.ran_seconds,
    },
    JobEvent.DELETE: {"trashed_at": database_now()},
    JobEvent.RESTORE: {"trashed_at": None},
}
"""Columns that a user event changes besides the state. A retry resets restarts and running time."""
ENDED_BY_A_REQUEST: Final = frozenset({EndReason.CANCELLED, EndReason.PAUSED, EndReason.SUCCEEDED})
"""The reasons of attempts that a pending request has ended; others end in spite of one."""
EventActor = Mapping[str, str]
"""Who made an event, as `Principal.event_actor` returns it."""


@dataclass(frozen=True)
class HalvedBatch:
    """The batch size that ran out of memory, and the one of the next attempt."""

    before: int
    after: int


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended: reason, exit code of the process (negative: signal), message and hint.

    `halved` is the batch size of the next attempt, if there is one. `amended` is a merge patch of
    the job's spec that avoids the failure, if one is known. `log_line` is the line of the attempt's
    log that tells why it failed, from 1.
    """

    reason: EndReason
    exit_code: int | None = None
    message: str | None = None
    hint: str | None = None
    restart_backoff: timedelta = timedelta(0)
    halved: HalvedBatch | None = None
    amended: Mapping[str, JsonValue] | None = None
    log_line: int | None = None


@dataclass(frozen=True)
class Applied:
    """A transition that was made, and the job after it."""

    job: Job
    transition: Transition

    @property
    def rings(self) -> bool:
        """Whether to ring a doorbell: the job is queued and can be claimed now."""
        return self.job.state is JobState.QUEUED and not self.transition.changes_nothing


@dataclass(frozen=True)
class Refused:
    """The table has no row for this event in the job's current state."""

    facts: JobFacts


def facts_of(session: Session, job: Job) -> JobFacts:
    """Return the facts that the guards of the transition table check."""
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
    session: Session,
    job: Job,
    event: JobEvent,
    end: AttemptEnd | None = None,
    *,
    actor: EventActor | None = None,
) -> Applied | Refused:
    """Make the transition that the table has for `event`; the caller has locked `job`.

    `end` describes how the running attempt ended, for events that end one. `actor` is the person
    or the key that makes the event, and None where the system makes it.
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
        "last_seq": job.last_seq + 1,
        **_request_after(job, transition, actor),
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
    set_columns(session, job, values)
    if transition.target.is_ended and not transition.source.is_ended:
        _drop_superseded(session, job)
    append_event(
        session,
        job.id,
        job.last_seq,
        transition.logged_as or event.value,
        level=Level.ERROR if transition.target is JobState.FAILED else Level.INFO,
        data=_event_data(job, transition, end)
        | _resume_data(session, job, transition)
        | ({} if actor is None else {"actor": dict(actor)}),
    )
    return Applied(job, transition)


def _request_after(job: Job, transition: Transition, actor: EventActor | None) -> dict[str, Any]:
    """Return the pending request after the transition, and who made it."""
    request = request_after(transition, job.request)
    if request is job.request:
        return {"request": request}
    made = request is not None and actor is not None
    return {"request": request, "requested_by": dict(actor or {}) if made else None}


def _drop_superseded(session: Session, job: Job) -> None:
    """Keep only the checkpoints that an extension or a retry of the ended job needs."""
    kept = KeptSets.of_ended(succeeded=job.state is JobState.SUCCEEDED)
    drop_superseded_checkpoints(session, job.id, kept, grace=timedelta())


def _after_running(
    job: Job, transition: Transition, event: JobEvent, end: AttemptEnd | None
) -> dict[str, Any]:
    values: dict[str, Any] = {"phase": None, "lease_expires_at": None}
    if end is None or transition.target is not JobState.QUEUED:
        return values
    if event is JobEvent.INTERRUPT and end.reason.counted:
        # Bounded, because a stopped job is finalized again however often that fails.
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
            "error_amended": None,
            "error_log_line": None,
        }
    if not transition.target.is_ended:
        return {}
    reason = transition.forced_reason or (end.reason if end else None)
    values: dict[str, Any] = {"ended_at": database_now(), "end_reason": reason}
    if transition.target is JobState.FAILED and reason is not None:
        values["error_message"] = end.message if end and end.message else reason.value
        own = end if end and transition.forced_reason is None else None
        values["error_hint"] = (own and own.hint) or reason.hint
        values["error_amended"] = _amended(reason, end)
        values["error_log_line"] = end.log_line if end else None
    return values


def _amended(reason: EndReason, end: AttemptEnd | None) -> dict[str, Any] | None:
    """Return the merge patch that avoids the failure; None if none is known.

    It is empty if the machine failed: the same spec runs elsewhere, or later.
    """
    if end is None:
        return {} if reason.spec_can_stay else None
    if end.amended is not None and reason is end.reason:
        return dict(end.amended)
    return {} if end.reason.spec_can_stay else None


def _close_attempt(
    session: Session, job: Job, transition: Transition, end: AttemptEnd | None
) -> float:
    """Close the open attempt and return its duration in seconds of the database's clock."""
    reason = end.reason if end else transition.forced_reason
    newest = (
        select(func.max(Epoch.epoch))
        .where(
            Epoch.job_id == job.id,
            Epoch.attempt == job.attempt,
            Epoch.epoch >= Attempt.first_epoch,
        )
        .correlate(Attempt)
        .scalar_subquery()
    )
    statement = (
        update(Attempt)
        .where(Attempt.job_id == job.id, Attempt.ended_at.is_(None))
        .values(
            ended_at=database_now(),
            last_epoch=newest,
            actor=job.requested_by if job.request and reason in ENDED_BY_A_REQUEST else None,
            end_reason=reason,
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


def _resume_data(session: Session, job: Job, transition: Transition) -> dict[str, JsonValue]:
    """Return the epoch after which a job continues that waits or is paused now."""
    waits = transition.target in {JobState.QUEUED, JobState.PAUSED}
    if transition.target is transition.source or not waits:
        return {}
    return {"resume_epoch": resume_epoch(session, job.id)}


def _event_data(job: Job, transition: Transition, end: AttemptEnd | None) -> dict[str, JsonValue]:
    data: dict[str, JsonValue] = {"attempt": job.attempt} if job.attempt else {}
    if end is not None:
        data["reason"] = end.reason.value
        if end.message:
            data["message"] = end.message
        if end.halved and not transition.target.is_ended:
            data |= {"from": end.halved.before, "to": end.halved.after}
    return data
