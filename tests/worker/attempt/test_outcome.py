"""Every way in which a trainer can end maps to an outcome."""

import signal

import pytest

from app.jobs.end_reasons import EndReason
from app.jobs.states import JobEvent, Request
from worker.attempt.outcome import (
    CRASH_SIGNALS,
    REASON_OF_EXIT,
    Outcome,
    TrainerEnd,
    decide_outcome,
    outcome_of,
)
from worker.trainer import __main__

FAILURES = {
    1: (JobEvent.FAIL, EndReason.TRAINER_BUG),
    10: (JobEvent.INTERRUPT, EndReason.TRAINER_KILLED),
    11: (JobEvent.FAIL, EndReason.BAD_DATA),
    12: (JobEvent.FAIL, EndReason.BAD_SPEC),
    13: (JobEvent.FAIL, EndReason.OUT_OF_MEMORY),
    14: (JobEvent.FAIL, EndReason.DIVERGED),
    15: (JobEvent.FAIL, EndReason.BAD_WEIGHTS),
    16: (JobEvent.INTERRUPT, EndReason.WORKER_LOST),
    17: (JobEvent.FAIL, EndReason.NOT_PORTABLE),
    18: (JobEvent.INTERRUPT, EndReason.GPU_LOST),
    19: (JobEvent.DRAIN, EndReason.BAD_CHECKPOINT),
    20: (JobEvent.FAIL, EndReason.DISK_FULL),
}

LEFT = (
    (Request.CANCEL, False, JobEvent.LEAVE, EndReason.CANCELLED),
    (Request.PAUSE, False, JobEvent.LEAVE, EndReason.PAUSED),
    (Request.CANCEL, True, JobEvent.LEAVE, EndReason.CANCELLED),
    (None, True, JobEvent.DRAIN, EndReason.WORKER_DRAINED),
    (Request.STOP, True, JobEvent.DRAIN, EndReason.WORKER_DRAINED),
)


def is_retried(reason: EndReason) -> bool:
    return reason.retryable


class TestDecideOutcome:
    @pytest.mark.parametrize("code", FAILURES)
    def test_an_exit_code_that_nobody_asked_for_has_its_reason(self, code: int) -> None:
        outcome = decide_outcome(TrainerEnd(code), None, drains=False)

        assert outcome == Outcome(*FAILURES[code])

    def test_no_exit_code_is_without_a_reason(self) -> None:
        assert set(FAILURES) == set(REASON_OF_EXIT) - {0}
        assert REASON_OF_EXIT[0] is EndReason.SUCCEEDED

    def test_no_two_reasons_share_an_exit_code(self) -> None:
        codes = [reason.exit_code for reason in EndReason if reason.exit_code is not None]

        assert sorted(codes) == sorted(REASON_OF_EXIT)

    def test_the_trainer_leaves_with_the_code_of_its_reason(self) -> None:
        assert EndReason.TRAINER_KILLED.exit_code == __main__._CANCELLED
        assert EndReason.WORKER_LOST.exit_code == __main__._SUPERVISOR_GONE

    @pytest.mark.parametrize("request_", [None, *Request])
    @pytest.mark.parametrize("asked", [True, False])
    def test_a_trainer_that_finished_was_faster_than_any_request(
        self, request_: Request | None, *, asked: bool
    ) -> None:
        end = TrainerEnd(0, leave_requested=asked, finished=True)

        assert decide_outcome(end, request_, drains=asked).event is JobEvent.FINISH

    def test_leaving_with_0_without_a_last_word_is_a_bug(self) -> None:
        assert decide_outcome(TrainerEnd(0), None, drains=False).reason is EndReason.TRAINER_BUG

    @pytest.mark.parametrize(("request_", "drains", "event", "reason"), LEFT)
    @pytest.mark.parametrize("code", [10, 1, -15, -9, -11])
    def test_a_trainer_that_was_asked_to_leave_left_as_asked_however_it_went(
        self,
        request_: Request | None,
        event: JobEvent,
        reason: EndReason,
        code: int,
        *,
        drains: bool,
    ) -> None:
        outcome = decide_outcome(TrainerEnd(code, leave_requested=True), request_, drains=drains)

        assert outcome == Outcome(event, reason)

    @pytest.mark.parametrize("signum", range(1, signal.NSIG))
    def test_a_signal_is_a_crash_or_a_killing(self, signum: int) -> None:
        outcome = decide_outcome(TrainerEnd(-signum), None, drains=False)

        crashed = signum in CRASH_SIGNALS
        assert outcome.reason is (
            EndReason.TRAINER_CRASHED if crashed else EndReason.TRAINER_KILLED
        )
        assert outcome.event is (JobEvent.FAIL if crashed else JobEvent.INTERRUPT)

    @pytest.mark.parametrize("code", sorted(set(range(256)) - set(REASON_OF_EXIT)))
    def test_an_exit_code_of_nobody_is_a_bug(self, code: int) -> None:
        outcome = decide_outcome(TrainerEnd(code), None, drains=False)

        assert outcome == Outcome(JobEvent.FAIL, EndReason.TRAINER_BUG)

    def test_a_full_disk_is_told_from_a_bug(self) -> None:
        outcome = decide_outcome(TrainerEnd(20), None, drains=False)

        assert outcome == Outcome(JobEvent.FAIL, EndReason.DISK_FULL)


class TestOutcomeOf:
    @pytest.mark.parametrize("reason", EndReason)
    def test_an_end_that_may_be_retried_is_no_failure(self, reason: EndReason) -> None:
        event = outcome_of(reason).event

        again = event in {JobEvent.INTERRUPT, JobEvent.DRAIN}
        assert again == reason.retryable

    @pytest.mark.parametrize("reason", [reason for reason in EndReason if is_retried(reason)])
    def test_only_a_counted_end_needs_a_restart_that_is_left(self, reason: EndReason) -> None:
        event = outcome_of(reason).event

        assert (event is JobEvent.INTERRUPT) == reason.counted
