"""Which row of the transition table applies to a job as it stands, and what it allows."""

from dataclasses import dataclass

from app.jobs.states import (
    REQUEST_STRENGTH,
    TRANSITIONS,
    USER_EVENTS,
    Guard,
    JobEvent,
    JobState,
    Request,
    RequestEffect,
    Transition,
)


@dataclass(frozen=True)
class JobFacts:
    """What guards are judged by."""

    state: JobState
    request: Request | None = None
    has_checkpoint: bool = False
    has_epoch: bool = False
    restarts_left: bool = True
    in_trash: bool = False


def holds(guard: Guard, facts: JobFacts) -> bool:
    """Whether `guard` is true of `facts`."""
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
    """Return the row that applies, or None where the event is refused in this situation."""
    for row in TRANSITIONS:
        if row.event is event and row.source is facts.state and holds(row.guard, facts):
            return row
    return None


def request_after(transition: Transition, request: Request | None) -> Request | None:
    """Return the request that stands after `transition`."""
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
    """Return what a user may ask of a job now, in the order of the documentation."""
    return tuple(event for event in USER_EVENTS if transition_for(event, facts) is not None)
