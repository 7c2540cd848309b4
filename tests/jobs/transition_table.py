"""The blueprint's table of transitions, written by hand, and every situation of a job."""

from dataclasses import replace
from itertools import product

from app.jobs.guards import JobFacts
from app.jobs.states import JobEvent, JobState, Request

CANCEL, PAUSE, STOP = Request.CANCEL, Request.PAUSE, Request.STOP
QUEUED, RUNNING, PAUSED = JobState.QUEUED, JobState.RUNNING, JobState.PAUSED
SUCCEEDED, FAILED, CANCELLED = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED
REFUSED = None

Outcome = tuple[JobState, Request | None] | None
"""State and request after an event, or REFUSED."""

LEAVES: dict[Request | None, Outcome] = {
    CANCEL: (CANCELLED, None),
    PAUSE: (PAUSED, None),
    STOP: (SUCCEEDED, None),
}

ALL_FACTS = [
    JobFacts(state, request, has_checkpoint=checkpoint, has_epoch=epoch, restarts_left=restarts)
    for state, request, checkpoint, epoch, restarts in product(
        JobState, [None, *Request], [False, True], [False, True], [False, True]
    )
    if request is None or state is RUNNING or (state is QUEUED and request is STOP)
]
ALL_FACTS += [replace(facts, in_trash=True) for facts in ALL_FACTS if facts.state.is_ended]


def by_request(facts: JobFacts, otherwise: Outcome) -> Outcome:
    """Return how an interrupted or drained attempt ends with the pending request."""
    if facts.request is CANCEL:
        return (CANCELLED, None)
    if facts.request is PAUSE:
        return (PAUSED, None)
    if facts.request is STOP:
        return (QUEUED, STOP) if facts.has_checkpoint else (FAILED, None)
    return otherwise


def expected(event: JobEvent, facts: JobFacts) -> Outcome:  # noqa: C901, PLR0911, PLR0912
    """Return (state, request) after the event, or REFUSED, as in the blueprint's table."""
    state, request = facts.state, facts.request
    same = (state, request)
    if facts.in_trash:
        return same if event in {JobEvent.DELETE, JobEvent.RESTORE} else REFUSED
    match event, state:
        case JobEvent.CLAIM, JobState.QUEUED:
            return (RUNNING, request)
        case JobEvent.LEAVE, JobState.RUNNING:
            return LEAVES.get(request, REFUSED)
        case JobEvent.FINISH, JobState.RUNNING:
            return (SUCCEEDED, None)
        case JobEvent.FAIL, JobState.RUNNING:
            return (CANCELLED, None) if request is CANCEL else (FAILED, None)
        case JobEvent.INTERRUPT, JobState.RUNNING:
            return by_request(facts, (QUEUED, None) if facts.restarts_left else (FAILED, None))
        case JobEvent.DRAIN | JobEvent.HALVE_BATCH, JobState.RUNNING:
            return by_request(facts, (QUEUED, None))
        case JobEvent.CANCEL, JobState.QUEUED | JobState.PAUSED:
            return (CANCELLED, None)
        case JobEvent.CANCEL, JobState.RUNNING:
            return (RUNNING, CANCEL)
        case JobEvent.CANCEL, JobState.CANCELLED:
            return same
        case JobEvent.PAUSE, JobState.QUEUED:
            return REFUSED if request is STOP else (PAUSED, None)
        case JobEvent.PAUSE, JobState.RUNNING:
            return (RUNNING, PAUSE) if request in {None, PAUSE} else REFUSED
        case JobEvent.PAUSE, JobState.PAUSED:
            return same
        case JobEvent.RESUME, JobState.QUEUED:
            return same
        case JobEvent.RESUME, JobState.RUNNING:
            return (RUNNING, None) if request is PAUSE else same
        case JobEvent.RESUME, JobState.PAUSED:
            return (QUEUED, None)
        case JobEvent.STOP, JobState.QUEUED:
            return (QUEUED, STOP) if facts.has_checkpoint or request is STOP else REFUSED
        case JobEvent.STOP, JobState.RUNNING:
            return REFUSED if request is CANCEL else (RUNNING, STOP)
        case JobEvent.STOP, JobState.PAUSED:
            return (QUEUED, STOP) if facts.has_checkpoint else REFUSED
        case JobEvent.RETRY, JobState.FAILED | JobState.CANCELLED:
            return (QUEUED, None)
        case JobEvent.TIMEOUT, JobState.RUNNING:
            if request is CANCEL:
                return same
            return (RUNNING, STOP) if facts.has_epoch else (FAILED, None)
        case JobEvent.DELETE, JobState.SUCCEEDED | JobState.FAILED | JobState.CANCELLED:
            return same
    return REFUSED


def name_of(facts: JobFacts) -> str:
    flags = "".join(
        letter if held else "-"
        for letter, held in zip(
            "cert",
            (facts.has_checkpoint, facts.has_epoch, facts.restarts_left, facts.in_trash),
            strict=True,
        )
    )
    return f"{facts.state}-{facts.request or 'none'}-{flags}"
