"""Requests to a job at every moment of an attempt; the fake trainer waits at each moment."""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from app.artifacts.repository import checkpoints_of
from app.core.database import Database
from app.datasets.tables import DatasetVersion
from app.jobs.end_reasons import EndReason
from app.jobs.states import JobEvent, JobState, Request
from tests.waiting import eventually
from tests.worlds.rows import events_of, job_row
from tests.worlds.worker import (
    PATIENT,
    Worker,
    a_worker,
    attempts,
    attempts_after_work,
    checks_of_weights,
    epochs_of,
    request,
    working,
)
from worker.processes.process import living_processes
from worker.tasks import work_on

pytestmark = pytest.mark.mostly_sqlite

WITHOUT_A_PROCESS = "before its process"
PROVING = "proving weights"
PHASES = ("preparing", "training", "validating", "finalizing")
MOMENTS = (WITHOUT_A_PROCESS, *PHASES, PROVING)
LEAVES = {
    JobEvent.CANCEL: (JobState.CANCELLED, EndReason.CANCELLED),
    JobEvent.PAUSE: (JobState.PAUSED, EndReason.PAUSED),
    JobEvent.DRAIN: (JobState.QUEUED, EndReason.WORKER_DRAINED),
}


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> Worker:
    """A slot whose interrupted jobs wait long enough for a test to make a request."""
    patient = PATIENT.model_copy(update={"restart_backoff_seconds": 3})
    return a_worker(database, tmp_path, timing=patient)


@pytest.fixture
def worker_on_sqlite(
    sqlite_url: str, open_database: Callable[[str], Database], tmp_path: Path
) -> Worker:
    """For behaviour that does not depend on the database: when a process gets a request."""
    return a_worker(open_database(sqlite_url), tmp_path)


@contextmanager
def at(worker: Worker, moment: str) -> Iterator[str]:
    """Work on a job until its first attempt reaches this moment, and keep it there."""
    scenario = {WITHOUT_A_PROCESS: "hang in preparing", PROVING: "train"}
    worker = worker.with_trainer(scenario.get(moment, f"hang in {moment}"))
    job_id = worker.submit()
    withheld = withhold_data_set(worker) if moment == WITHOUT_A_PROCESS else None
    with working(worker):
        eventually(lambda: has_come_to(worker, job_id, moment), within=20)
        yield job_id
        if withheld is not None:
            withheld.close()


def withhold_data_set(worker: Worker) -> IO[bytes]:
    """Lock the dataset, so that no attempt gets it until the returned file is closed."""
    with worker.context.database.read() as unit:
        version = unit.session.get(DatasetVersion, worker.rows.version_id)
    assert version is not None
    folder = worker.context.datasets.folder
    folder.mkdir(parents=True)
    file = (folder / f"{version.pack_sha256}.lock").open("wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def has_come_to(worker: Worker, job_id: str, moment: str) -> bool:
    job = job_row(worker.context.database, job_id)
    if moment == WITHOUT_A_PROCESS:
        return job.state is JobState.RUNNING
    if moment == PROVING:
        return bool(checks_of_weights(f"{job_id}-1"))
    return job.phase == moment and any(living_processes(f"{job_id}-1"))


def ask(worker: Worker, job_id: str, event: JobEvent) -> None:
    if event is JobEvent.DRAIN:
        worker.context.leaving.set()
    else:
        request(worker.context.database, job_id, event)


class TestLeaving:
    @pytest.mark.parametrize("event", LEAVES)
    @pytest.mark.parametrize("moment", MOMENTS)
    def test_a_leaving_worker_ends_the_attempt_at_any_moment(
        self, worker_on_sqlite: Worker, moment: str, event: JobEvent
    ) -> None:
        with at(worker_on_sqlite, moment) as job_id:
            ask(worker_on_sqlite, job_id, event)

        database = worker_on_sqlite.context.database
        job = job_row(database, job_id)
        (attempt,) = attempts(database, job_id)
        assert (job.state, attempt.end_reason) == LEAVES[event]
        assert (job.request, job.phase, job.restarts, job.not_before_at) == (None, None, 0, None)
        assert list(living_processes(f"{job_id}-1")) == []


class TestGrace:
    def test_a_cancel_ends_a_trainer_that_stays_long_before_its_grace_is_over(
        self, database: Database, tmp_path: Path
    ) -> None:
        patient = PATIENT.model_copy(update={"kill_grace_seconds": 1000})
        worker = a_worker(database, tmp_path, timing=patient).with_trainer("hang stubbornly")
        job_id = worker.submit()

        with working(worker):
            eventually(lambda: epochs_of(database, job_id), within=20)
            request(database, job_id, JobEvent.CANCEL)

        assert job_row(database, job_id).state is JobState.CANCELLED


class TestPause:
    def test_a_resumed_job_goes_on_from_its_last_checkpoint(
        self, database: Database, worker: Worker
    ) -> None:
        with at(worker, "training") as job_id:
            request(database, job_id, JobEvent.PAUSE)
        request(database, job_id, JobEvent.RESUME)

        work_on(worker.with_trainer("train, then crash").context)

        assert epochs_of(database, job_id) == [(1, 1), (2, 2), (3, 2)]

    def test_a_pause_that_is_withdrawn_while_the_trainer_leaves_starts_it_again(
        self, database: Database, tmp_path: Path
    ) -> None:
        patient = PATIENT.model_copy(update={"kill_grace_seconds": 10})
        worker = a_worker(database, tmp_path, timing=patient)
        worker = worker.with_trainer("leave slowly once, then crash")
        job_id = worker.submit()

        with working(worker):
            eventually(lambda: epochs_of(database, job_id), within=20)
            request(database, job_id, JobEvent.PAUSE)
            eventually(lambda: events_of(database, job_id, "trainer.notice"), within=10)
            request(database, job_id, JobEvent.RESUME)

        assert epochs_of(database, job_id) == [(1, 1), (2, 2), (3, 2)]
        assert events_of(database, job_id, "job.paused") == []


class TestStop:
    @pytest.mark.parametrize("phase", PHASES)
    def test_a_trainer_is_told_to_finish_in_any_phase(
        self, worker_on_sqlite: Worker, phase: str
    ) -> None:
        database = worker_on_sqlite.context.database
        with at(worker_on_sqlite, phase) as job_id:
            request(database, job_id, JobEvent.STOP)
            eventually(lambda: events_of(database, job_id, "trainer.notice"), within=10)
            still = job_row(database, job_id)
            request(database, job_id, JobEvent.CANCEL)

        assert (still.state, still.request) == (JobState.RUNNING, Request.STOP)

    @pytest.mark.parametrize("before", [None, JobEvent.PAUSE])
    def test_a_job_that_waits_or_is_paused_is_only_finalized(
        self, database: Database, worker: Worker, before: JobEvent | None
    ) -> None:
        worker = worker.with_trainer("die after an epoch, or only finalize, then crash")
        job_id = worker.submit()
        work_on(worker.context)
        if before is not None:
            request(database, job_id, before)
        request(database, job_id, JobEvent.STOP)

        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=10)

        assert epochs_of(database, job_id) == [(1, 1)]
        assert len(events_of(database, job_id, "trainer.started")) == 1

    def test_an_attempt_that_dies_while_it_only_finalizes_is_made_again(
        self, database: Database, worker: Worker
    ) -> None:
        with at(worker, "training") as job_id:
            request(database, job_id, JobEvent.PAUSE)
        request(database, job_id, JobEvent.STOP)

        with working(worker.with_trainer("train")):
            eventually(lambda: checks_of_weights(f"{job_id}-2"), within=20)
            for pid in checks_of_weights(f"{job_id}-2"):
                os.kill(pid, signal.SIGKILL)

        job = job_row(database, job_id)
        assert (job.state, job.request) == (JobState.QUEUED, Request.STOP)
        assert epochs_of(database, job_id) == [(1, 1)]

    def test_nothing_is_kept_where_no_checkpoint_is_whole(
        self, database: Database, worker: Worker
    ) -> None:
        worker = worker.with_trainer("die after an epoch, or only finalize")
        job_id = worker.submit()
        work_on(worker.context)
        request(database, job_id, JobEvent.STOP)
        with database.read() as unit:
            for row in checkpoints_of(unit.session, job_id):
                worker.context.store.delete(row.sha256)

        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=10)

        job = job_row(database, job_id)
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.NOTHING_TO_KEEP)
