"""Decide what the end of an attempt means: pure functions, total over exit codes and signals."""

import signal
from dataclasses import dataclass

from app.jobs.end_reasons import EndReason
from app.jobs.states import JobEvent, JobState, Request

REASON_OF_EXIT: dict[int, EndReason] = {
    reason.exit_code: reason for reason in EndReason if reason.exit_code is not None
}
"""The meaning of an exit code if the supervisor did not request the trainer to leave."""

CRASH_SIGNALS = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGABRT,
        signal.SIGFPE,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)
"""Signals that a process causes by itself; every other signal comes from outside."""


@dataclass(frozen=True)
class TrainerEnd:
    """How a trainer process ended, and what it had reported before.

    `exit_code` is negative for the signal that killed it. `leave_requested` means that the
    supervisor itself sent the signal to leave, or to kill. `finished` means that its `final`
    event arrived.
    """

    exit_code: int
    leave_requested: bool = False
    finished: bool = False


@dataclass(frozen=True)
class Outcome:
    """The event for the job's state machine, and why the attempt ended."""

    event: JobEvent
    reason: EndReason


def decide_outcome(end: TrainerEnd, job_request: Request | None, *, drains: bool) -> Outcome:
    """Return what the end of a trainer means for its job.

    Args:
        end: how the process ended.
        job_request: the request that was pending for the job when the process ended.
        drains: whether the worker is leaving.
    """
    if end.exit_code == EndReason.SUCCEEDED.exit_code and end.finished:
        return Outcome(JobEvent.FINISH, EndReason.SUCCEEDED)
    if end.leave_requested:
        return left_on_request(job_request, drains=drains)
    return outcome_of(_reason(end))


def outcome_of(reason: EndReason) -> Outcome:
    """Return the event that a failure's reason calls for."""
    if reason.state is JobState.SUCCEEDED:
        return Outcome(JobEvent.FINISH, reason)
    if not reason.retryable:
        return Outcome(JobEvent.FAIL, reason)
    # An interruption needs a restart that is left, even where it uses none up.
    return Outcome(JobEvent.INTERRUPT if reason.counted else JobEvent.DRAIN, reason)


def left_on_request(job_request: Request | None, *, drains: bool) -> Outcome:
    """Return the outcome of an attempt that ended because it was requested to leave."""
    # A trainer that raises while it leaves has left all the same: the request is the reason.
    if job_request is Request.CANCEL:
        return Outcome(JobEvent.LEAVE, EndReason.CANCELLED)
    if job_request is Request.PAUSE:
        return Outcome(JobEvent.LEAVE, EndReason.PAUSED)
    return Outcome(JobEvent.DRAIN, EndReason.WORKER_DRAINED if drains else EndReason.PAUSED)


def _reason(end: TrainerEnd) -> EndReason:
    if end.exit_code < 0:
        crashed = -end.exit_code in CRASH_SIGNALS
        return EndReason.TRAINER_CRASHED if crashed else EndReason.TRAINER_KILLED
    reason = REASON_OF_EXIT.get(end.exit_code, EndReason.TRAINER_BUG)
    # Success needs the `final` event.
    return EndReason.TRAINER_BUG if reason is EndReason.SUCCEEDED else reason
