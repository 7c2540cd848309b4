"""The transition table of a job: one frozen row per transition, and the row that applies.

State changes, 409 responses and the documentation are derived from `TRANSITIONS`. Events without
a row are refused. This module does not use the database.
"""

from dataclasses import dataclass
from enum import StrEnum

from app.jobs.end_reasons import EndReason
from app.jobs.states import REQUEST_STRENGTH, USER_EVENTS, JobEvent, JobState, Request


class Guard(StrEnum):
    """The condition, besides the state, under which a row applies. Rows are tried in order."""

    ALWAYS = "always"
    CANCEL_REQUESTED = "cancel is requested"
    PAUSE_REQUESTED = "pause is requested"
    STOP_REQUESTED = "stop is requested"
    STOP_REQUESTED_WITH_CHECKPOINT = "stop is requested and a checkpoint exists"
    NOTHING_STRONGER_THAN_PAUSE = "nothing stronger than pause is requested"
    NOTHING_STRONGER_THAN_STOP = "nothing stronger than stop is requested"
    NO_STOP_REQUESTED = "no stop is requested"
    HAS_CHECKPOINT = "a checkpoint exists"
    NO_EPOCH = "no epoch has ended"
    RESTARTS_LEFT = "restarts are left"
    IN_TRASH = "it is in the trash"
    NOT_IN_TRASH = "it is not in the trash"


class RequestEffect(StrEnum):
    """The effect of a transition on the pending request."""

    KEEP = "keep"
    CLEAR = "clear"
    PAUSE = "pause"
    STOP = "stop"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Transition:
    """One arrow: `event` in `source` under `guard` leads to `target` and is logged as `logged_as`.

    `logged_as` is None if nothing changes. `forced_reason` is the end reason if the transition
    itself determines it.
    """

    event: JobEvent
    source: JobState
    guard: Guard
    target: JobState
    request: RequestEffect
    logged_as: str | None
    forced_reason: EndReason | None = None

    @property
    def changes_nothing(self) -> bool:
        """Whether the event is accepted without any change."""
        return self.logged_as is None


def _row(  # noqa: PLR0913, PLR0917 -- the columns of the table
    event: JobEvent,
    source: JobState,
    guard: Guard,
    target: JobState,
    request: RequestEffect,
    logged_as: str | None,
    forced_reason: EndReason | None = None,
) -> Transition:
    return Transition(event, source, guard, target, request, logged_as, forced_reason)


_E, _S, _G, _R = JobEvent, JobState, Guard, RequestEffect


def _requeue_by_request(event: JobEvent) -> tuple[Transition, ...]:
    """The rows of a retryable end: a pending request comes first."""
    return (
        _row(event, _S.RUNNING, _G.CANCEL_REQUESTED, _S.CANCELLED, _R.CLEAR, "job.cancelled",
             EndReason.CANCELLED),
        _row(event, _S.RUNNING, _G.PAUSE_REQUESTED, _S.PAUSED, _R.CLEAR, "job.paused"),
        _row(event, _S.RUNNING, _G.STOP_REQUESTED_WITH_CHECKPOINT, _S.QUEUED, _R.KEEP,
             "job.requeued"),
        _row(event, _S.RUNNING, _G.STOP_REQUESTED, _S.FAILED, _R.CLEAR, "job.failed",
             EndReason.NOTHING_TO_KEEP),
    )  # fmt: skip


def _into_the_trash_and_back(ended: JobState) -> tuple[Transition, ...]:
    """The rows of the trash. A job in it keeps its state and accepts only these two events."""
    return (
        _row(_E.DELETE, ended, _G.NOT_IN_TRASH, ended, _R.KEEP, "job.trashed"),
        _row(_E.DELETE, ended, _G.IN_TRASH, ended, _R.KEEP, None),
        _row(_E.RESTORE, ended, _G.IN_TRASH, ended, _R.KEEP, "job.restored"),
    )


# fmt: off
TRANSITIONS: tuple[Transition, ...] = (
    _row(_E.CLAIM, _S.QUEUED, _G.ALWAYS, _S.RUNNING, _R.KEEP, "job.started"),
    _row(_E.LEAVE, _S.RUNNING, _G.CANCEL_REQUESTED, _S.CANCELLED, _R.CLEAR, "job.cancelled",
         EndReason.CANCELLED),
    _row(_E.LEAVE, _S.RUNNING, _G.PAUSE_REQUESTED, _S.PAUSED, _R.CLEAR, "job.paused"),
    _row(_E.LEAVE, _S.RUNNING, _G.STOP_REQUESTED, _S.SUCCEEDED, _R.CLEAR, "job.succeeded"),
    _row(_E.FINISH, _S.RUNNING, _G.ALWAYS, _S.SUCCEEDED, _R.CLEAR, "job.succeeded"),
    _row(_E.FAIL, _S.RUNNING, _G.CANCEL_REQUESTED, _S.CANCELLED, _R.CLEAR, "job.cancelled",
         EndReason.CANCELLED),
    _row(_E.FAIL, _S.RUNNING, _G.ALWAYS, _S.FAILED, _R.CLEAR, "job.failed"),
    *_requeue_by_request(_E.INTERRUPT),
    _row(_E.INTERRUPT, _S.RUNNING, _G.RESTARTS_LEFT, _S.QUEUED, _R.CLEAR, "job.requeued"),
    _row(_E.INTERRUPT, _S.RUNNING, _G.ALWAYS, _S.FAILED, _R.CLEAR, "job.failed",
         EndReason.RESTARTS_EXHAUSTED),
    *_requeue_by_request(_E.DRAIN),
    _row(_E.DRAIN, _S.RUNNING, _G.ALWAYS, _S.QUEUED, _R.CLEAR, "job.requeued"),
    *_requeue_by_request(_E.HALVE_BATCH),
    _row(_E.HALVE_BATCH, _S.RUNNING, _G.ALWAYS, _S.QUEUED, _R.CLEAR, "job.batch_halved"),
    _row(_E.CANCEL, _S.QUEUED, _G.ALWAYS, _S.CANCELLED, _R.CLEAR, "job.cancelled",
         EndReason.CANCELLED),
    _row(_E.CANCEL, _S.RUNNING, _G.CANCEL_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.CANCEL, _S.RUNNING, _G.ALWAYS, _S.RUNNING, _R.CANCEL, "job.cancel_requested"),
    _row(_E.CANCEL, _S.PAUSED, _G.ALWAYS, _S.CANCELLED, _R.CLEAR, "job.cancelled",
         EndReason.CANCELLED),
    _row(_E.CANCEL, _S.CANCELLED, _G.NOT_IN_TRASH, _S.CANCELLED, _R.KEEP, None),
    _row(_E.PAUSE, _S.QUEUED, _G.NO_STOP_REQUESTED, _S.PAUSED, _R.CLEAR, "job.paused"),
    _row(_E.PAUSE, _S.RUNNING, _G.PAUSE_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.PAUSE, _S.RUNNING, _G.NOTHING_STRONGER_THAN_PAUSE, _S.RUNNING, _R.PAUSE,
         "job.pause_requested"),
    _row(_E.PAUSE, _S.PAUSED, _G.ALWAYS, _S.PAUSED, _R.KEEP, None),
    _row(_E.RESUME, _S.QUEUED, _G.ALWAYS, _S.QUEUED, _R.KEEP, None),
    _row(_E.RESUME, _S.RUNNING, _G.PAUSE_REQUESTED, _S.RUNNING, _R.CLEAR, "job.pause_withdrawn"),
    _row(_E.RESUME, _S.RUNNING, _G.ALWAYS, _S.RUNNING, _R.KEEP, None),
    _row(_E.RESUME, _S.PAUSED, _G.ALWAYS, _S.QUEUED, _R.CLEAR, "job.resumed"),
    _row(_E.STOP, _S.QUEUED, _G.STOP_REQUESTED, _S.QUEUED, _R.KEEP, None),
    _row(_E.STOP, _S.QUEUED, _G.HAS_CHECKPOINT, _S.QUEUED, _R.STOP, "job.stop_requested"),
    _row(_E.STOP, _S.RUNNING, _G.STOP_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.STOP, _S.RUNNING, _G.NOTHING_STRONGER_THAN_STOP, _S.RUNNING, _R.STOP,
         "job.stop_requested"),
    _row(_E.STOP, _S.PAUSED, _G.HAS_CHECKPOINT, _S.QUEUED, _R.STOP, "job.stop_requested"),
    _row(_E.RETRY, _S.FAILED, _G.NOT_IN_TRASH, _S.QUEUED, _R.CLEAR, "job.retried"),
    _row(_E.RETRY, _S.CANCELLED, _G.NOT_IN_TRASH, _S.QUEUED, _R.CLEAR, "job.retried"),
    _row(_E.TIMEOUT, _S.RUNNING, _G.CANCEL_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.TIMEOUT, _S.RUNNING, _G.NO_EPOCH, _S.FAILED, _R.CLEAR, "job.failed",
         EndReason.TIMEOUT),
    _row(_E.TIMEOUT, _S.RUNNING, _G.STOP_REQUESTED, _S.RUNNING, _R.KEEP, None),
    _row(_E.TIMEOUT, _S.RUNNING, _G.NOTHING_STRONGER_THAN_STOP, _S.RUNNING, _R.STOP,
         "job.stop_requested"),
    *_into_the_trash_and_back(_S.SUCCEEDED),
    *_into_the_trash_and_back(_S.FAILED),
    *_into_the_trash_and_back(_S.CANCELLED),
)
# fmt: on


@dataclass(frozen=True)
class JobFacts:
    """The facts that guards check."""

    state: JobState
    request: Request | None = None
    has_checkpoint: bool = False
    has_epoch: bool = False
    restarts_left: bool = True
    in_trash: bool = False


def holds(guard: Guard, facts: JobFacts) -> bool:
    """Return whether `guard` is true for `facts`."""
    strength = REQUEST_STRENGTH[facts.request]
    return {
        Guard.ALWAYS: True,
        Guard.CANCEL_REQUESTED: facts.request is Request.CANCEL,
        Guard.PAUSE_REQUESTED: facts.request is Request.PAUSE,
        Guard.STOP_REQUESTED: facts.request is Request.STOP,
        Guard.STOP_REQUESTED_WITH_CHECKPOINT: facts.request is Request.STOP
        and facts.has_checkpoint,
        Guard.NOTHING_STRONGER_THAN_PAUSE: strength <= REQUEST_STRENGTH[Request.PAUSE],
        Guard.NOTHING_STRONGER_THAN_STOP: strength <= REQUEST_STRENGTH[Request.STOP],
        Guard.NO_STOP_REQUESTED: facts.request is not Request.STOP,
        Guard.HAS_CHECKPOINT: facts.has_checkpoint,
        Guard.NO_EPOCH: not facts.has_epoch,
        Guard.RESTARTS_LEFT: facts.restarts_left,
        Guard.IN_TRASH: facts.in_trash,
        Guard.NOT_IN_TRASH: not facts.in_trash,
    }[guard]


def transition_for(event: JobEvent, facts: JobFacts) -> Transition | None:
    """Return the row that applies, or None if the event is refused."""
    for row in TRANSITIONS:
        if row.event is event and row.source is facts.state and holds(row.guard, facts):
            return row
    return None


def request_after(transition: Transition, request: Request | None) -> Request | None:
    """Return the pending request after `transition`."""
    match transition.request:
        case RequestEffect.KEEP:
            return request
        case RequestEffect.CLEAR:
            return None
        case _:
            return Request(transition.request.value)


def sources_of(event: JobEvent) -> frozenset[JobState]:
    """Return the states in which `event` is possible under some guard."""
    return frozenset(row.source for row in TRANSITIONS if row.event is event)


def allowed_events(facts: JobFacts) -> tuple[JobEvent, ...]:
    """Return the user events that are allowed now, in the order of the documentation."""
    return tuple(event for event in USER_EVENTS if transition_for(event, facts) is not None)
