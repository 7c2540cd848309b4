"""Every way in which a trainer can end has its outcome."""

import signal

import pytest

from app.jobs.states import EndReason, JobEvent, Request
from worker.attempt.outcome import (
    CRASH_SIGNALS,
    REASON_OF_EXIT,
    Outcome,
    TrainerEnd,
    decide_outcome,
    outcome_of,
)
from worker.trainer.protocol import ExitCode

FAILURES = {
    ExitCode.BUG: (JobEvent.FAIL, EndReason.TRAINER_BUG),
    ExitCode.CANCELLED: (JobEvent.INTERRUPT, EndReason.TRAINER_KILLED),
    ExitCode.BAD_DATA: (JobEvent.FAIL, EndReason.BAD_DATA),
    ExitCode.BAD_SPEC: (JobEvent.FAIL, EndReason.BAD_SPEC),
    ExitCode.OUT_OF_MEMORY: (JobEvent.FAIL, EndReason.OUT_OF_MEMORY),
    ExitCode.DIVERGED: (JobEvent.FAIL, EndReason.DIVERGED),
    ExitCode.BAD_WEIGHTS: (JobEvent.FAIL, EndReason.BAD_WEIGHTS),
    ExitCode.SUPERVISOR_GONE: (JobEvent.INTERRUPT, EndReason.WORKER_LOST),
    ExitCode.NOT_PORTABLE: (JobEvent.FAIL, EndReason.NOT_PORTABLE),
    ExitCode.GPU_LOST: (JobEvent.INTERRUPT, EndReason.GPU_LOST),
    ExitCode.BAD_CHECKPOINT: (JobEvent.DRAIN, EndReason.BAD_CHECKPOINT),
}

LEFT = (
    (Request.CANCEL, False, JobEvent.LEAVE, EndReason.CANCELLED),
    (Request.PAUSE, False, JobEvent.LEAVE, EndReason.PAUSED),
    (Request.CANCEL, True, JobEvent.LEAVE, EndReason.CANCELLED),
    (None, True, JobEvent.DRAIN, EndReason.WORKER_DRAINED),
    (Request.STOP, True, JobEvent.DRAIN, EndReason.WORKER_DRAINED),
)


def is_retried(reason: EndReason) -> bool:
    return reason.consequence.retryable


class TestDecideOutcome:
    @pytest.mark.parametrize("code", FAILURES, ids=lambda code: code.name)
    def test_an_exit_code_that_nobody_asked_for_has_its_reason(self, code: ExitCode) -> None:
        outcome = decide_outcome(TrainerEnd(code), None, drains=False)

        assert outcome == Outcome(*FAILURES[code])

    def test_no_exit_code_is_without_a_reason(self) -> None:
        assert set(REASON_OF_EXIT) == set(ExitCode)
        assert set(FAILURES) == set(ExitCode) - {ExitCode.OK}

    @pytest.mark.parametrize("request_", [None, *Request])
    @pytest.mark.parametrize("asked", [True, False])
    def test_a_trainer_that_finished_was_faster_than_any_request(
        self, request_: Request | None, *, asked: bool
    ) -> None:
        end = TrainerEnd(0, asked_to_leave=asked, finished=True)

        assert decide_outcome(end, request_, drains=asked).event is JobEvent.FINISH

    def test_leaving_with_0_without_a_last_word_is_a_bug(self) -> None:
        assert decide_outcome(TrainerEnd(0), None, drains=False).reason is EndReason.TRAINER_BUG

    @pytest.mark.parametrize(("request_", "drains", "event", "reason"), LEFT)
    @pytest.mark.parametrize("code", [ExitCode.CANCELLED, ExitCode.BUG, -15, -9, -11])
    def test_a_trainer_that_was_asked_to_leave_left_as_asked_however_it_went(
        self,
        request_: Request | None,
        event: JobEvent,
        reason: EndReason,
        code: int,
        *,
        drains: bool,
    ) -> None:
        outcome = decide_outcome(TrainerEnd(code, asked_to_leave=True), request_, drains=drains)

        assert outcome == Outcome(event, reason)

    @pytest.mark.parametrize("signum", range(1, signal.NSIG))
    def test_a_signal_is_a_crash_or_a_killing(self, signum: int) -> None:
        outcome = decide_outcome(TrainerEnd(-signum), None, drains=False)

        crashed = signum in CRASH_SIGNALS
        assert outcome.reason is (
            EndReason.TRAINER_CRASHED if crashed else EndReason.TRAINER_KILLED
        )
        assert outcome.event is (JobEvent.FAIL if crashed else JobEvent.INTERRUPT)

    @pytest.mark.parametrize("code", sorted(set(range(256)) - set(map(int, ExitCode))))
    def test_an_exit_code_of_nobody_is_a_bug(self, code: int) -> None:
        outcome = decide_outcome(TrainerEnd(code), None, drains=False)

        assert outcome == Outcome(JobEvent.FAIL, EndReason.TRAINER_BUG)

    def test_a_full_disk_is_told_from_a_bug(self) -> None:
        end = TrainerEnd(ExitCode.BUG, error_code="disk_full")

        outcome = decide_outcome(end, None, drains=False)

        assert outcome == Outcome(JobEvent.FAIL, EndReason.DISK_FULL)


class TestOutcomeOf:
    @pytest.mark.parametrize("reason", EndReason)
    def test_one_that_may_be_tried_again_is_no_failure(self, reason: EndReason) -> None:
        event = outcome_of(reason).event

        again = event in {JobEvent.INTERRUPT, JobEvent.DRAIN}
        assert again == reason.consequence.retryable

    @pytest.mark.parametrize("reason", [reason for reason in EndReason if is_retried(reason)])
    def test_only_a_counted_one_needs_a_restart_that_is_left(self, reason: EndReason) -> None:
        event = outcome_of(reason).event

        assert (event is JobEvent.INTERRUPT) == reason.consequence.counted
