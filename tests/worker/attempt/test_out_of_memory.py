"""A job whose fake trainer runs out of memory: each value of `on_oom` has its own result."""

import json

import pytest

from app.core.database import Database
from app.jobs.commands.clone import merge_patch
from app.jobs.end_reasons import EndReason
from app.jobs.life.transitions import apply_event
from app.jobs.locks import lock_job
from app.jobs.spec.job_spec import JobSpec
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import Job
from tests.worlds.rows import events_of, job_row
from tests.worlds.worker import Worker, attempts, epochs_of
from worker.attempt.out_of_memory import NOTHING_TO_HALVE
from worker.tasks import work_on

pytestmark = pytest.mark.mostly_sqlite

HALVED = {"from": 16, "to": 8}


def batch_of(database: Database, job_id: str) -> object:
    return job_row(database, job_id).resolved_spec["train"]["batch"]


def spec_in(hint: str | None) -> JobSpec:
    """Return the spec in a hint, validated as if a user had posted it."""
    assert hint is not None
    return JobSpec.model_validate(json.loads(hint[hint.index("{") :]))


def with_train(**train: object) -> dict[str, object]:
    return {"train": {"epochs": 3} | train}


class TestHalvingTheBatch:
    @pytest.mark.slow
    def test_one_attempt_with_half_the_batch_starts_over_where_no_epoch_had_ended(
        self, database: Database, worker: Worker
    ) -> None:
        job_id = worker.submit(max_restarts=0)

        work_on(worker.with_trainer("train with a batch of 8").context)

        first, second = attempts(database, job_id)
        assert (first.end_reason, first.exit_code) == (EndReason.OUT_OF_MEMORY, 13)
        assert second.resumed == "none"
        assert epochs_of(database, job_id) == [(1, 2), (2, 2), (3, 2)]
        assert batch_of(database, job_id) == 8
        job = job_row(database, job_id)
        assert (job.restarts, "batch" in job.spec["train"]) == (0, False)
        said = [event.data for event in events_of(database, job_id, "job.batch_halved")]
        assert said == [
            HALVED
            | {
                "attempt": 1,
                "reason": "out_of_memory",
                "message": "Memory ran out.",
                "resume_epoch": None,
            }
        ]

    @pytest.mark.slow
    def test_one_attempt_with_half_the_batch_continues_from_the_last_checkpoint(
        self, database: Database, worker: Worker
    ) -> None:
        job_id = worker.submit()

        work_on(worker.with_trainer("train with a batch of 8 after an epoch").context)

        assert [each.resumed for each in attempts(database, job_id)] == ["none", "plain"]
        assert epochs_of(database, job_id) == [(1, 1), (2, 2), (3, 2)]

    @pytest.mark.parametrize(
        "scenario",
        ["run out of memory", "run out of memory after an epoch"],
        ids=["start", "epoch"],
    )
    def test_running_out_of_memory_again_fails_with_a_spec_to_post(
        self, database: Database, worker: Worker, scenario: str
    ) -> None:
        job_id = worker.submit()

        work_on(worker.with_trainer(scenario).context)

        job = job_row(database, job_id)
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.OUT_OF_MEMORY)
        assert [each.end_reason for each in attempts(database, job_id)] == (
            [EndReason.OUT_OF_MEMORY] * 2
        )
        assert spec_in(job.error_hint).train.batch == 4
        assert len(events_of(database, job_id, "job.batch_halved")) == 1

    def test_a_chosen_batch_is_halved_where_that_was_asked_for(
        self, database: Database, worker: Worker
    ) -> None:
        job_id = worker.submit(fields=with_train(batch=16) | {"on_oom": "halve_batch"})

        work_on(worker.with_trainer("train with a batch of 8").context)

        assert epochs_of(database, job_id) == [(1, 2), (2, 2), (3, 2)]

    def test_a_job_retried_after_that_is_not_halved_again(
        self, database: Database, worker: Worker
    ) -> None:
        job_id = worker.submit()
        work_on(worker.with_trainer("run out of memory").context)
        with database.write() as unit:
            job = lock_job(unit.session, Job.id == job_id)
            assert job is not None
            apply_event(unit.session, job, JobEvent.RETRY)

        work_on(worker.with_trainer("run out of memory").context)

        assert len(attempts(database, job_id)) == 3
        assert batch_of(database, job_id) == 8


class TestFailing:
    def test_a_batch_that_the_user_chose_is_left_and_half_of_it_proposed(
        self, database: Database, worker: Worker
    ) -> None:
        job_id = worker.submit(fields=with_train(batch=6, imgsz=64))

        work_on(worker.with_trainer("run out of memory").context)

        job = job_row(database, job_id)
        proposed = spec_in(job.error_hint)
        assert job.error_amended == {"train": {"batch": 3}}
        assert merge_patch(job.spec, job.error_amended) == proposed.model_dump(
            mode="json", exclude_unset=True
        )
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.OUT_OF_MEMORY)
        assert job.error_message == "Memory ran out."
        assert batch_of(database, job_id) == 6
        assert proposed == JobSpec.model_validate(job.spec | with_train(batch=3, imgsz=64))

    def test_a_batch_of_1_cannot_be_halved(self, database: Database, worker: Worker) -> None:
        job_id = worker.submit(fields=with_train(batch=1) | {"on_oom": "halve_batch"})

        work_on(worker.with_trainer("run out of memory").context)

        job = job_row(database, job_id)
        assert (job.end_reason, job.error_hint) == (EndReason.OUT_OF_MEMORY, NOTHING_TO_HALVE)
        assert job.error_amended is None
        assert len(attempts(database, job_id)) == 1

    @pytest.mark.parametrize("batch", [-1, 0.5])
    def test_a_batch_that_ultralytics_chose_fails_with_a_number_in_the_hint(
        self, database: Database, worker: Worker, batch: float
    ) -> None:
        job_id = worker.submit(fields=with_train(batch=batch) | {"on_oom": "halve_batch"})

        work_on(worker.with_trainer("run out of memory").context)

        job = job_row(database, job_id)
        assert job.end_reason is EndReason.OUT_OF_MEMORY
        assert spec_in(job.error_hint).train.batch == 6, "half of the 12 that the trainer said"
