"""Where a retry starts, and how a job is trashed and restored."""

from datetime import timedelta

import pytest

from app.core.database import Database, database_now
from app.jobs.end_reasons import EndReason
from app.jobs.life.transitions import Applied
from app.jobs.repository import attempts_of
from app.jobs.states import JobEvent, JobState
from tests.jobs.driving import claim, end, request
from tests.worlds.rows import Rows, a_job, job_row


class TestRetry:
    def test_a_failed_job_has_all_its_restarts_and_its_time_again(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows, state=JobState.FAILED, restarts=5, ran_seconds=3600.0)

        applied = request(database, job_id, JobEvent.RETRY)

        job = job_row(database, job_id)
        assert isinstance(applied, Applied)
        assert applied.rings
        assert (job.state, job.restarts, job.ran_seconds) == (JobState.QUEUED, 0, 0.0)

    def test_a_retried_job_keeps_of_its_failure_only_the_attempts(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows)
        end(database, claim(database), JobEvent.FAIL, EndReason.DIVERGED)

        request(database, job_id, JobEvent.RETRY)

        job = job_row(database, job_id)
        with database.read() as unit:
            reasons = [row.end_reason for row in attempts_of(unit.session, job_id)]
        assert (job.end_reason, job.error_message, job.error_hint, job.ended_at) == (None,) * 4
        assert reasons == [EndReason.DIVERGED]

    @pytest.mark.parametrize("back", [JobEvent.RETRY, JobEvent.RESUME])
    def test_a_back_off_does_not_outlive_what_a_user_asked_meanwhile(
        self, database: Database, rows: Rows, back: JobEvent
    ) -> None:
        job_id = a_job(database, rows, not_before_at=database_now(timedelta(hours=1)))
        request(database, job_id, {JobEvent.RETRY: JobEvent.CANCEL}.get(back, JobEvent.PAUSE))

        request(database, job_id, back)

        assert claim(database).job_id == job_id


class TestTrash:
    def test_an_ended_job_goes_there_and_comes_back_as_it_was(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows, state=JobState.SUCCEEDED, ended_at=database_now())
        before = job_row(database, job_id).ended_at

        request(database, job_id, JobEvent.DELETE)
        trashed_at = job_row(database, job_id).trashed_at
        request(database, job_id, JobEvent.RESTORE)

        job = job_row(database, job_id)
        assert trashed_at is not None
        assert (job.state, job.trashed_at, job.ended_at) == (JobState.SUCCEEDED, None, before)

    def test_deleting_a_job_twice_does_not_restart_its_grace(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows, state=JobState.FAILED)
        request(database, job_id, JobEvent.DELETE)
        trashed_at = job_row(database, job_id).trashed_at

        request(database, job_id, JobEvent.DELETE)

        assert job_row(database, job_id).trashed_at == trashed_at
