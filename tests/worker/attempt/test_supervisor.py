"""Attempts from claim to end, with a fake trainer: these tests are about the supervisor."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.artifacts.repository import artifact_named, artifacts_of, checkpoints_of
from app.core.database import Database
from app.core.free_space import DiskReserve
from app.jobs.end_reasons import EndReason
from app.jobs.repository import attempts_of
from app.jobs.states import JobEvent, JobState
from tests.counting import counted
from tests.waiting import eventually
from tests.worlds.rows import events_of, job_row
from tests.worlds.worker import (
    PATIENT,
    QUICK,
    Worker,
    a_worker,
    attempts,
    attempts_after_work,
    epochs_of,
    request,
    working,
)
from worker.processes.process import living_processes
from worker.tasks import work_on

pytestmark = pytest.mark.mostly_sqlite


def log_of(worker: Worker, job_id: str, name: str = "train.log") -> bytes:
    with worker.context.database.read() as unit:
        log = artifact_named(unit.session, job_id, name)
    assert log is not None
    return b"".join(worker.context.store.open_range(log.sha256, 0, log.size_bytes))


@pytest.fixture
def trains_nothing(worker: Worker) -> Callable[[str], Worker]:
    return worker.with_trainer


class TestCancel:
    def test_a_cancel_leaves_no_process_of_a_stubborn_trainer(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("hang stubbornly")
        job_id = worker.submit()

        with working(worker):
            eventually(lambda: epochs_of(database, job_id), within=20)
            assert len(list(living_processes(f"{job_id}-1"))) >= 2  # with those of a cage
            request(database, job_id, JobEvent.CANCEL)
            eventually(lambda: list(living_processes(f"{job_id}-1")) == [], within=5)

        assert job_row(database, job_id).state is JobState.CANCELLED

    def test_a_cancel_ends_a_polite_trainer_before_the_grace(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("hang after an epoch")
        job_id = worker.submit()

        with working(worker):
            eventually(lambda: epochs_of(database, job_id), within=20)
            request(database, job_id, JobEvent.CANCEL)

        with database.read() as unit:
            attempt = attempts_of(unit.session, job_id)[0]
        assert (attempt.end_reason, attempt.exit_code) == (EndReason.CANCELLED, 10)


class TestProcesses:
    def test_a_job_takes_one_process_for_its_dataset_one_to_train_and_one_to_prove_its_weights(
        self, trains_nothing: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = trains_nothing("train")
        worker.submit()
        worker.context.cages.layers()  # tried in a process, once

        with counted(monkeypatch, subprocess, "Popen") as started:
            work_on(worker.context)

        assert len(started) == 3


class TestInterruption:
    def test_a_killed_trainers_job_goes_on_from_its_checkpoint(
        self, database: Database, tmp_path: Path
    ) -> None:
        patient = PATIENT.model_copy(update={"restart_backoff_seconds": 3})
        worker = a_worker(database, tmp_path, timing=patient).with_trainer("die once, then crash")
        job_id = worker.submit()

        with working(worker):
            pass
        assert job_row(database, job_id).state is JobState.QUEUED
        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=10)

        assert epochs_of(database, job_id) == [(1, 1), (2, 1), (3, 2)]
        with database.read() as unit:
            attempts = attempts_of(unit.session, job_id)
        assert [each.resumed for each in attempts] == ["none", "plain"]
        assert attempts[0].end_reason is EndReason.TRAINER_KILLED

    def test_s3_no_job_starts_while_a_disk_has_only_its_reserve(
        self,
        database: Database,
        trains_nothing: Callable[[str], Worker],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        worker = trains_nothing("train an epoch, then crash")
        job_id = worker.submit()
        monkeypatch.setattr(DiskReserve, "is_reached", lambda _: True)

        work_on(worker.context)

        assert job_row(database, job_id).state is JobState.QUEUED

    def test_a_crash_is_final(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("train an epoch, then crash")
        job_id = worker.submit()

        work_on(worker.context)

        job = job_row(database, job_id)
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.TRAINER_CRASHED)

    def test_a_refusal_keeps_the_trainers_words(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("refuse the data")
        job_id = worker.submit()

        work_on(worker.context)

        job = job_row(database, job_id)
        assert (job.end_reason, job.error_message) == (EndReason.BAD_DATA, "No labels.")
        assert job.error_hint == "Add some."
        assert job.error_amended is None

    def test_a_diverged_job_keeps_its_epochs_and_checkpoints_and_has_an_amended_spec(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("diverge")
        job_id = worker.submit()

        work_on(worker.context)

        job = job_row(database, job_id)
        with database.read() as unit:
            kept = {row.epoch for row in checkpoints_of(unit.session, job_id)}
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.DIVERGED)
        assert job.error_amended == {"train": {"lr0": 0.001}}
        assert log_of(worker, job_id).splitlines()[(job.error_log_line or 0) - 1] == (
            b"worker.trainer.errors.Diverged: The loss exploded."
        )
        assert epochs_of(database, job_id) == [(1, 1), (2, 1), (3, 1)]
        assert 3 in kept

    def test_a_leaving_worker_gives_its_job_back_uncounted(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("hang after an epoch")
        job_id = worker.submit()

        with working(worker):
            eventually(lambda: epochs_of(database, job_id), within=20)
            worker.context.leaving.set()

        job = job_row(database, job_id)
        assert (job.state, job.restarts, job.not_before_at) == (JobState.QUEUED, 0, None)


class TestRestarts:
    def test_a_crash_loop_ends_with_its_attempts_kept(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("die at once")
        job_id = worker.submit(max_restarts=2)

        eventually(lambda: attempts_after_work(worker, job_id) == 3, within=20)

        job = job_row(database, job_id)
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.RESTARTS_EXHAUSTED)
        reasons = [each.end_reason for each in attempts(database, job_id)]
        assert reasons == 3 * [EndReason.TRAINER_KILLED]

    def test_a_new_epoch_sets_the_count_back(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("die after each epoch, then crash")
        job_id = worker.submit(max_restarts=1)

        eventually(lambda: attempts_after_work(worker, job_id) == 3, within=20)

        assert epochs_of(database, job_id) == [(1, 1), (2, 2), (3, 3)]
        assert job_row(database, job_id).end_reason is EndReason.TRAINER_CRASHED

    def test_a_lost_gpu_is_an_end_to_go_on_from(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("lose the GPU once, then crash")
        job_id = worker.submit(max_restarts=1)

        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=20)

        assert attempts(database, job_id)[0].end_reason is EndReason.GPU_LOST
        assert epochs_of(database, job_id) == [(1, 1), (2, 2), (3, 2)]

    @pytest.mark.parametrize(
        ("scenario", "damaged", "epochs"),
        [
            ("die once and refuse its checkpoint", [2], [(1, 1), (2, 3), (3, 3)]),
            ("die once and refuse its checkpoints", [2, 1], [(1, 4), (2, 4), (3, 4)]),
        ],
    )
    def test_a_checkpoint_that_no_trainer_reads_gives_way_to_the_one_before(
        self,
        database: Database,
        trains_nothing: Callable[[str], Worker],
        scenario: str,
        damaged: list[int],
        epochs: list[tuple[int, int]],
    ) -> None:
        worker = trains_nothing(f"{scenario}, then crash")
        job_id = worker.submit(max_restarts=1)

        eventually(lambda: attempts_after_work(worker, job_id) == epochs[-1][1], within=20)

        assert epochs_of(database, job_id) == epochs
        said = events_of(database, job_id, "checkpoint.damaged")
        assert [(each.data or {})["epoch"] for each in said] == damaged
        assert attempts(database, job_id)[1].end_reason is EndReason.BAD_CHECKPOINT


class TestFinalizing:
    def test_a_trainer_that_is_killed_while_finalizing_trains_nothing_again(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("die once while it finalizes, then crash")
        job_id = worker.submit()

        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=20)

        assert epochs_of(database, job_id) == [(1, 1), (2, 1), (3, 1)]


class TestAWorkerInTrouble:
    def test_an_attempt_without_a_directory_is_given_back_at_once(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("train")
        worker.context.attempts_folder.parent.mkdir(parents=True)
        worker.context.attempts_folder.touch()  # no folder can be created here
        job_id = worker.submit()

        work_on(worker.context)

        assert job_row(database, job_id).state is JobState.QUEUED
        with database.read() as unit:
            ended = attempts_of(unit.session, job_id)[0]
        assert ended.end_reason is EndReason.WORKER_LOST
        assert ended.message is not None
        assert str(worker.context.settings.home) not in ended.message

    @pytest.mark.slow
    def test_s5_a_store_that_is_not_the_jobs_costs_no_checkpoint(
        self, database: Database, tmp_path: Path
    ) -> None:
        patient = PATIENT.model_copy(update={"restart_backoff_seconds": 3})
        worker = a_worker(database, tmp_path, timing=patient).with_trainer("die once, then crash")
        job_id = worker.submit()
        work_on(worker.context)
        store = worker.context.store.local_root
        assert store is not None
        mounted = store.rename(store.with_name("mounted"))
        store.mkdir()

        eventually(lambda: attempts_after_work(worker, job_id) == 2, within=20)

        assert epochs_of(database, job_id) == [(1, 1), (2, 1)]
        assert attempts(database, job_id)[1].end_reason is EndReason.WORKER_LOST
        shutil.rmtree(store)
        mounted.rename(store)
        eventually(lambda: attempts_after_work(worker, job_id) == 3, within=20)
        assert epochs_of(database, job_id) == [(1, 1), (2, 1), (3, 3)]


class TestFence:
    def test_a_fenced_attempt_dies_and_writes_nothing_more(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("hang after an epoch")
        job_id = worker.submit()

        with working(worker):
            eventually(lambda: epochs_of(database, job_id), within=20)
            request(database, job_id, JobEvent.INTERRUPT)
            worker.context.leaving.set()  # otherwise it would claim the job again
            before = job_row(database, job_id)

        assert list(living_processes(f"{job_id}-1")) == []
        assert job_row(database, job_id).last_seq == before.last_seq

    def test_a_silent_database_ends_the_trainer_and_the_attempt_is_not_counted(
        self, sqlite_url: str, open_database: Callable[[str], Database], tmp_path: Path
    ) -> None:
        database = open_database(sqlite_url)
        worker = a_worker(database, tmp_path, timing=QUICK).with_trainer("hang after an epoch")
        job_id = worker.submit(max_restarts=0)

        with working(worker):
            eventually(lambda: epochs_of(database, job_id), within=20)
            with database.write():  # no other attempt can write
                eventually(lambda: list(living_processes(f"{job_id}-1")) == [], within=6)
            worker.context.leaving.set()
            eventually(lambda: job_row(database, job_id).state is JobState.QUEUED, within=10)

        with database.read() as unit:
            ended = attempts_of(unit.session, job_id)[0]
        assert (ended.end_reason, job_row(database, job_id).restarts) == (EndReason.LEASE_LOST, 0)


class TestRecords:
    def test_logs_are_whole_when_the_directory_is_gone(
        self, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("train an epoch, then crash")
        job_id = worker.submit()

        work_on(worker.context)

        assert list(worker.context.attempts_folder.iterdir()) == []
        assert log_of(worker, job_id) == b"line of the log \xff\n"

    def test_two_checkpoints_are_kept_and_their_bytes_are_there(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("train")
        job_id = worker.submit()

        work_on(worker.context)

        with database.read() as unit:
            rows = checkpoints_of(unit.session, job_id)
        assert [(row.epoch, row.name) for row in rows] == [
            (epoch, name) for epoch in (3, 2) for name in ("best.pt", "last.pt", "results.csv")
        ]
        assert all(worker.context.store.exists(row.sha256) for row in rows)

    def test_weights_that_do_not_load_elsewhere_are_not_handed_out(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        """The fake trainer's best.pt is text; the proof is the real one and refuses it."""
        worker = trains_nothing("train")
        job_id = worker.submit()

        work_on(worker.context)

        job = job_row(database, job_id)
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.NOT_PORTABLE)
        with database.read() as unit:
            assert [row.name for row in artifacts_of(unit.session, job_id)] == ["train.log"]

    def test_the_event_log_tells_the_story_in_order(
        self, database: Database, trains_nothing: Callable[[str], Worker]
    ) -> None:
        worker = trains_nothing("train an epoch, then crash")
        job_id = worker.submit()

        work_on(worker.context)

        events = events_of(database, job_id)
        seqs = [each.seq or 0 for each in events]
        assert seqs == list(range(seqs[0], job_row(database, job_id).last_seq + 1))
        assert [each.type for each in events][-4:] == [
            "job.started",
            "trainer.started",
            "epoch.finished",
            "job.failed",
        ]
