"""The conclusion of an attempt that left on request while another request arrived."""

import pytest

from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.life.transitions import AttemptEnd
from app.jobs.states import JobEvent, JobState, Request
from tests.jobs.driving import request
from tests.worlds.rows import a_checkpoint, a_job, claim, job_row, some_rows
from worker.attempt.conclusion import _apply

pytestmark = pytest.mark.integration


def left_for_a_pause(
    database: Database, *, meanwhile: JobEvent, checkpoint: bool
) -> tuple[JobState, Request | None, EndReason | None]:
    """End an attempt for a pause after `meanwhile` is requested; return the job's new state."""
    job_id = a_job(database, some_rows(database))
    hold = claim(database)
    if checkpoint:
        a_checkpoint(database, job_id)
    request(database, job_id, JobEvent.PAUSE)
    request(database, job_id, meanwhile)

    with database.write() as unit:
        _apply(unit.session, hold, JobEvent.LEAVE, AttemptEnd(EndReason.PAUSED))

    job = job_row(database, job_id)
    return job.state, job.request, job.end_reason


class TestAnAttemptThatLeftForAPause:
    def test_a_paused_attempt_that_is_to_be_stopped_meanwhile_is_queued_to_finish(
        self, database: Database
    ) -> None:
        stands = left_for_a_pause(database, meanwhile=JobEvent.STOP, checkpoint=True)

        assert stands == (JobState.QUEUED, Request.STOP, None)

    def test_a_paused_attempt_that_is_to_be_stopped_without_a_checkpoint_fails(
        self, database: Database
    ) -> None:
        stands = left_for_a_pause(database, meanwhile=JobEvent.STOP, checkpoint=False)

        assert stands == (JobState.FAILED, None, EndReason.NOTHING_TO_KEEP)

    def test_an_attempt_whose_pause_was_withdrawn_continues(self, database: Database) -> None:
        stands = left_for_a_pause(database, meanwhile=JobEvent.RESUME, checkpoint=True)

        assert stands == (JobState.QUEUED, None, None)

    def test_a_paused_attempt_that_is_to_be_cancelled_meanwhile_is_cancelled(
        self, database: Database
    ) -> None:
        stands = left_for_a_pause(database, meanwhile=JobEvent.CANCEL, checkpoint=True)

        assert stands == (JobState.CANCELLED, None, EndReason.CANCELLED)
