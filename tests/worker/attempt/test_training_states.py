"""Training states across whole attempts: which one a resume uses, and which an ended job keeps."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.artifacts.repository import checkpoints_of
from app.artifacts.tables import Artifact
from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.states import JobEvent, JobState
from tests.waiting import eventually
from tests.worlds.rows import job_row
from tests.worlds.worker import (
    PATIENT,
    Worker,
    a_worker,
    attempts,
    attempts_after_work,
    epochs_of,
    events_of,
    request,
)
from worker.tasks import work_on

pytestmark = pytest.mark.mostly_sqlite

PAUSE = PATIENT.model_copy(update={"restart_backoff_seconds": 3})


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> Worker:
    """A worker whose trainer writes a state after every other epoch, and dies after three."""
    worker = a_worker(database, tmp_path, timing=PAUSE, state_every=2)
    return worker.with_trainer("die once while it finalizes, then crash")


def checkpoints(worker: Worker, job_id: str) -> Sequence[Artifact]:
    with worker.context.database.read() as unit:
        return checkpoints_of(unit.session, job_id)


def epochs_with(worker: Worker, job_id: str, name: str) -> list[int | None]:
    return [row.epoch for row in checkpoints(worker, job_id) if row.name == name]


class TestResume:
    def test_a_resume_continues_from_the_state_and_trains_newer_epochs_again(
        self, database: Database, worker: Worker
    ) -> None:
        job_id = worker.submit()

        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=20)

        assert epochs_of(database, job_id) == [(1, 1), (2, 1), (3, 2)]
        assert [each.resumed for each in attempts(database, job_id)] == ["none", "exact"]
        assert [each.data for each in events_of(database, job_id, "resume.exact")] == [{"epoch": 2}]

    def test_a_damaged_state_is_forgotten_and_the_newest_weights_are_taken(
        self, database: Database, worker: Worker
    ) -> None:
        job_id = worker.submit()
        work_on(worker.context)
        for row in checkpoints(worker, job_id):
            if row.name == "state.pt":
                worker.context.store.delete(row.sha256)

        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=20)

        assert epochs_of(database, job_id) == [(1, 1), (2, 1), (3, 1)]
        assert [each.resumed for each in attempts(database, job_id)] == ["none", "plain"]
        assert epochs_with(worker, job_id, "state.pt") == []
        (said,) = events_of(database, job_id, "checkpoint.damaged")
        assert said.data == {"epoch": 2, "reason": "FileNotFoundError"}

    def test_a_job_that_is_to_be_stopped_keeps_its_newest_weights_and_the_state(
        self, database: Database, worker: Worker
    ) -> None:
        job_id = worker.submit()
        work_on(worker.context)
        request(database, job_id, JobEvent.STOP)

        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=20)

        assert epochs_of(database, job_id) == [(1, 1), (2, 1), (3, 1)]
        assert epochs_with(worker, job_id, "state.pt") == [2]


class TestPeriod:
    def test_each_epoch_leaves_a_state_after_two_attempts_that_left_none(
        self, database: Database, tmp_path: Path
    ) -> None:
        """The fake trainer writes no state by default, like one whose worker dies too early."""
        worker = a_worker(database, tmp_path).with_trainer("die after each epoch, then crash")
        job_id = worker.submit()
        seen = []

        def third() -> bool:
            number = attempts_after_work(worker, job_id)
            seen.append((number, epochs_with(worker, job_id, "state.pt")))
            return number == 3

        eventually(third, within=20)

        assert epochs_of(database, job_id) == [(1, 1), (2, 2), (3, 3)]
        assert {number: states for number, states in seen if states} == {3: [3]}

    def test_the_operators_period_holds_all_along(self, database: Database, tmp_path: Path) -> None:
        worker = a_worker(database, tmp_path, state_every=5)
        worker = worker.with_trainer("die after each epoch, then crash")
        job_id = worker.submit()

        eventually(lambda: attempts_after_work(worker, job_id) == 3, within=20)

        assert epochs_with(worker, job_id, "state.pt") == []


class TestEndedJobs:
    def test_a_failed_job_keeps_the_newest_state_and_what_a_retry_needs(
        self, database: Database, tmp_path: Path
    ) -> None:
        worker = a_worker(database, tmp_path, state_every=1).with_trainer("train, then crash")
        job_id = worker.submit()

        work_on(worker.context)

        assert job_row(database, job_id).end_reason is EndReason.TRAINER_CRASHED
        assert epochs_with(worker, job_id, "state.pt") == [3]
        assert epochs_with(worker, job_id, "last.pt") == [3, 2]

    def test_a_cancelled_job_keeps_its_newest_state_and_a_retry_continues_from_it(
        self, database: Database, worker: Worker
    ) -> None:
        job_id = worker.submit()
        work_on(worker.context)
        request(database, job_id, JobEvent.CANCEL)
        kept = epochs_with(worker, job_id, "state.pt"), epochs_with(worker, job_id, "last.pt")
        request(database, job_id, JobEvent.RETRY)

        work_on(worker.context)

        assert kept == ([2], [3, 2])
        assert [each.resumed for each in attempts(database, job_id)] == ["none", "exact"]
        assert job_row(database, job_id).state is JobState.FAILED

    def test_files_of_a_kept_set_are_in_the_store(self, worker: Worker) -> None:
        job_id = worker.submit()

        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=20)

        rows = checkpoints(worker, job_id)
        assert {row.name for row in rows} == {"last.pt", "state.pt", "results.csv", "best.pt"}
        assert all(worker.context.store.exists(row.sha256) for row in rows)
