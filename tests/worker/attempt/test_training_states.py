"""Training states across whole attempts: which one a resume uses, and which an ended job keeps.

An interruption gives back an epoch in progress, or what came after the last stored state. The null
trainer keeps its newest training state, and stores one only where `state_every` is due.
"""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.artifacts.repository import checkpoints_of
from app.artifacts.tables import Artifact
from app.audit.record import COMMAND
from app.core.database import Database, database_now
from app.fleet.cordons import set_cordon
from app.fleet.tables import Cordon
from app.jobs.end_reasons import EndReason
from app.jobs.spec.job_spec import SpecFacts, resolve_spec
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import Job
from tests.jobs.slots import a_slot
from tests.waiting import eventually
from tests.worlds.rows import a_job, events_of, job_row
from tests.worlds.worker import (
    PATIENT,
    Worker,
    a_spec,
    a_worker,
    attempts,
    attempts_after_work,
    epochs_of,
    request,
    working,
)
from worker.processes.process import living_processes
from worker.tasks import work_on
from worker.trainer import null_trainer

pytestmark = pytest.mark.mostly_sqlite

PAUSE = PATIENT.model_copy(update={"restart_backoff_seconds": 3})
SECONDS_TO_LEAVE = 20.0
RARELY = 1000
"""Epochs between two stored states: more than any job here trains."""


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


def a_null_worker(database: Database, folder: Path, *, state_every: int = RARELY) -> Worker:
    timing = PATIENT.model_copy(
        update={"kill_grace_seconds": SECONDS_TO_LEAVE, "restart_backoff_seconds": 3}
    )
    return a_worker(database, folder, timing=timing, state_every=state_every)


def on_slot(worker: Worker, slot: str) -> Worker:
    """Return the same worker as a slot that is registered."""
    worker_id = a_slot(worker.context.database, slot)
    return replace(worker, context=replace(worker.context, worker_id=worker_id))


def submit(worker: Worker, *, epochs: int = RARELY) -> str:
    """Submit a job of short epochs."""
    trainer = {"name": null_trainer.NAME, "options": {"seconds_per_epoch": 0.05}}
    spec = a_spec(worker.rows, None, {"trainer": trainer, "train": {"epochs": epochs}})
    facts = SpecFacts(dataset_version=worker.rows.version_id, task="detect")
    return a_job(
        worker.context.database,
        worker.rows,
        spec=spec.model_dump(mode="json", exclude_unset=True),
        resolved_spec=resolve_spec(spec, facts).model_dump(mode="json"),
    )


def await_epochs(database: Database, job_id: str, *, attempt: int, count: int) -> None:
    eventually(
        lambda: [number for _, number in epochs_of(database, job_id)].count(attempt) >= count,
        within=30,
    )


def data_of(database: Database, job_id: str, type_: str) -> Sequence[dict[str, Any]]:
    return [dict(event.data) for event in events_of(database, job_id, type_)]


def last_epoch(database: Database, job_id: str) -> int:
    return epochs_of(database, job_id)[-1][0]


def may_be_claimed(database: Database, job_id: str) -> bool:
    """Return whether the back-off of a job that was killed is over."""
    statement = select(Job.id).where(Job.id == job_id, Job.not_before_at <= database_now())
    with database.read() as unit:
        return unit.session.scalars(statement).first() is not None


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


class TestPause:
    def test_a_paused_job_continues_after_its_last_finished_epoch_and_says_so(
        self, database: Database, tmp_path: Path
    ) -> None:
        worker = a_null_worker(database, tmp_path)
        job_id = submit(worker)
        with working(worker):
            await_epochs(database, job_id, attempt=1, count=3)
            request(database, job_id, JobEvent.PAUSE)
        finished = last_epoch(database, job_id)

        request(database, job_id, JobEvent.RESUME)
        with working(worker):
            await_epochs(database, job_id, attempt=2, count=2)
            request(database, job_id, JobEvent.CANCEL)

        assert data_of(database, job_id, "resume.exact") == [{"epoch": finished}]
        assert data_of(database, job_id, "epochs.dropped") == []
        assert epochs_of(database, job_id)[finished - 1 : finished + 1] == [
            (finished, 1),
            (finished + 1, 2),
        ]
        for type_ in ("job.paused", "job.resumed"):
            (data,) = data_of(database, job_id, type_)
            assert data["resume_epoch"] == finished

    def test_a_job_of_a_draining_worker_continues_after_its_last_finished_epoch(
        self, database: Database, tmp_path: Path
    ) -> None:
        worker = a_null_worker(database, tmp_path)
        job_id = submit(worker)

        with working(worker):
            await_epochs(database, job_id, attempt=1, count=2)
            worker.context.leaving.set()

        (data,) = data_of(database, job_id, "job.requeued")
        assert data["resume_epoch"] == last_epoch(database, job_id)

    def test_the_job_of_a_drained_slot_continues_exactly_on_another_slot(
        self, database: Database, tmp_path: Path
    ) -> None:
        worker = a_null_worker(database, tmp_path)
        drained, other = on_slot(worker, "cpu"), on_slot(worker, "0")
        job_id = submit(worker)

        with working(drained):
            await_epochs(database, job_id, attempt=1, count=2)
            set_cordon(database, COMMAND, drained.context.worker_id, Cordon.DRAINING)
        finished = last_epoch(database, job_id)
        work_on(drained.context)
        with working(other):
            await_epochs(database, job_id, attempt=2, count=2)
            request(database, job_id, JobEvent.CANCEL)

        first, second = attempts(database, job_id)
        assert (first.end_reason, first.worker_id) == (
            EndReason.WORKER_DRAINED,
            drained.context.worker_id,
        )
        assert (second.resumed, second.worker_id) == ("exact", other.context.worker_id)
        assert data_of(database, job_id, "resume.exact") == [{"epoch": finished}]
        assert data_of(database, job_id, "epochs.dropped") == []
        assert job_row(database, job_id).restarts == 0

    def test_a_cordoned_slot_finishes_its_job_and_takes_no_other(
        self, database: Database, tmp_path: Path
    ) -> None:
        worker = on_slot(a_null_worker(database, tmp_path), "cpu")
        job_id, waiting = submit(worker, epochs=8), submit(worker)

        with working(worker):
            await_epochs(database, job_id, attempt=1, count=1)
            set_cordon(database, COMMAND, worker.context.worker_id, Cordon.CORDONED)

        states = [job_row(database, each).state for each in (job_id, waiting)]
        assert states == [JobState.SUCCEEDED, JobState.QUEUED]

    def test_a_cancelled_trainer_writes_no_state(self, database: Database, tmp_path: Path) -> None:
        worker = a_null_worker(database, tmp_path)
        job_id = submit(worker)

        with working(worker):
            await_epochs(database, job_id, attempt=1, count=2)
            request(database, job_id, JobEvent.CANCEL)

        assert job_row(database, job_id).state is JobState.CANCELLED
        request(database, job_id, JobEvent.RETRY)
        with working(worker):
            await_epochs(database, job_id, attempt=2, count=1)
            request(database, job_id, JobEvent.CANCEL)
        assert [each.resumed for each in attempts(database, job_id)] == ["none", "plain"]


class TestKill:
    @pytest.mark.slow
    def test_a_killed_job_names_the_epochs_that_it_trains_again(
        self, database: Database, tmp_path: Path
    ) -> None:
        worker = a_null_worker(database, tmp_path, state_every=4)
        job_id = submit(worker)

        with working(worker):
            await_epochs(database, job_id, attempt=1, count=6)
            for pid in living_processes(f"{job_id}-1"):
                os.kill(pid, signal.SIGKILL)
        finished = last_epoch(database, job_id)
        eventually(lambda: may_be_claimed(database, job_id), within=20)
        with working(worker):
            await_epochs(database, job_id, attempt=2, count=1)
            request(database, job_id, JobEvent.CANCEL)

        (requeued,) = data_of(database, job_id, "job.requeued")
        stored = requeued["resume_epoch"]
        assert stored == finished // 4 * 4
        assert data_of(database, job_id, "resume.exact") == [{"epoch": stored}]
        dropped = {"first_epoch": stored + 1, "last_epoch": finished}
        assert data_of(database, job_id, "epochs.dropped") == [dropped] * (stored < finished)
        assert epochs_of(database, job_id)[stored - 1 : stored + 1] == [
            (stored, 1),
            (stored + 1, 2),
        ]
