"""The code derives the same transitions as the blueprint's handwritten table."""

from itertools import product

import pytest

from app.jobs.end_reasons import EndReason
from app.jobs.guards import TRANSITIONS, JobFacts, allowed_events, request_after, transition_for
from app.jobs.states import USER_EVENTS, JobEvent, JobState
from tests.jobs.transition_table import (
    ALL_FACTS,
    CANCEL,
    CANCELLED,
    FAILED,
    QUEUED,
    REFUSED,
    RUNNING,
    STOP,
    SUCCEEDED,
    expected,
    name_of,
)


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
    def test_allowed_events_are_those_of_users_that_are_not_refused(self, facts: JobFacts) -> None:
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
        assert reason.retryable == (reason.state is QUEUED)
        assert reason.retryable or not reason.counted
        assert bool(reason.hint) == (reason.state in {FAILED, QUEUED})
