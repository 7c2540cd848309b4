"""The table of the blueprint, written out by hand, against what the code derives from its rows."""

from dataclasses import replace
from itertools import product

import pytest

from app.jobs.guards import JobFacts, allowed_events, request_after, transition_for
from app.jobs.states import (
    CONSEQUENCES,
    TRANSITIONS,
    USER_EVENTS,
    EndReason,
    JobEvent,
    JobState,
    Request,
)

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
    """How an interrupted or drained attempt ends, by what was requested."""
    if facts.request is CANCEL:
        return (CANCELLED, None)
    if facts.request is PAUSE:
        return (PAUSED, None)
    if facts.request is STOP:
        return (QUEUED, STOP) if facts.has_checkpoint else (FAILED, None)
    return otherwise


def expected(event: JobEvent, facts: JobFacts) -> Outcome:  # noqa: C901, PLR0911, PLR0912
    """(state, request) after the event, or REFUSED: the blueprint's table, cell by cell."""
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


class TestTransitions:
    @pytest.mark.parametrize("facts", ALL_FACTS, ids=name_of)
    @pytest.mark.parametrize("event", JobEvent)
    def test_every_event_in_every_situation_does_what_the_table_says(
        self, event: JobEvent, facts: JobFacts
    ) -> None:
        transition = transition_for(event, facts)

        outcome = transition and (transition.target, request_after(transition, facts.request))
        assert outcome == expected(event, facts)

    def test_every_row_is_reached_by_some_situation(self) -> None:
        reached = {transition_for(event, facts) for event in JobEvent for facts in ALL_FACTS}

        assert set(TRANSITIONS) <= reached

    def test_a_transition_that_changes_nothing_is_not_logged(self) -> None:
        silent = [row for row in TRANSITIONS if row.changes_nothing]

        assert all(row.source is row.target for row in silent)

    def test_no_request_survives_outside_of_running_but_a_stop_of_a_queued_job(self) -> None:
        for event, facts in product(JobEvent, ALL_FACTS):
            transition = transition_for(event, facts)
            if transition is None:
                continue

            request = request_after(transition, facts.request)

            assert (
                request is None
                or transition.target is RUNNING
                or ((transition.target, request) == (QUEUED, STOP))
            )

    def test_ended_jobs_only_leave_by_retry(self) -> None:
        for event, facts in product(JobEvent, ALL_FACTS):
            transition = transition_for(event, facts)
            if facts.state.is_ended and transition and event is not JobEvent.RETRY:
                assert transition.target is facts.state


class TestAllowedEvents:
    @pytest.mark.parametrize("facts", ALL_FACTS, ids=name_of)
    def test_are_just_those_of_users_that_are_not_refused(self, facts: JobFacts) -> None:
        allowed = [event for event in USER_EVENTS if expected(event, facts) is not REFUSED]

        assert list(allowed_events(facts)) == allowed

    def test_a_failed_job_can_be_retried_or_deleted(self) -> None:
        allowed = allowed_events(JobFacts(FAILED))

        assert allowed == (JobEvent.RETRY, JobEvent.DELETE)

    @pytest.mark.parametrize("ended", [SUCCEEDED, FAILED, CANCELLED])
    def test_a_job_in_the_trash_can_only_stay_there_or_come_back(self, ended: JobState) -> None:
        allowed = allowed_events(JobFacts(ended, in_trash=True))

        assert allowed == (JobEvent.DELETE, JobEvent.RESTORE)

    def test_a_running_job_with_a_cancel_requested_can_only_be_left_alone(self) -> None:
        allowed = allowed_events(JobFacts(RUNNING, CANCEL))

        assert allowed == (JobEvent.CANCEL, JobEvent.RESUME)


class TestEndReasons:
    @pytest.mark.parametrize("reason", EndReason)
    def test_every_reason_owns_its_consequence(self, reason: EndReason) -> None:
        consequence = CONSEQUENCES[reason]

        assert consequence.retryable == (consequence.state is QUEUED)
        assert consequence.retryable or not consequence.counted
        assert bool(consequence.hint) == (consequence.state in {FAILED, QUEUED})
