"""Whole attempts of extensions: a job starts in the middle, from its own copies of files."""

from pathlib import Path

import pytest
from sqlalchemy import select

from app.artifacts.repository import checkpoints_of
from app.artifacts.tables import Artifact
from app.core.context import Context
from app.core.database import Database
from app.core.pages import CursorSeal
from app.jobs.commands.extend import Extension, extend_job
from app.jobs.end_reasons import EndReason
from app.jobs.lineage import epochs_of_line
from app.jobs.states import JobEvent, JobState
from tests.waiting import eventually
from tests.worlds.rows import events_of, job_row, principal_of
from tests.worlds.worker import (
    Worker,
    a_worker,
    attempts,
    attempts_after_work,
    epochs_of,
    request,
)
from worker.tasks import work_on

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> Worker:
    """A worker whose trainer writes a training state after each epoch."""
    return a_worker(database, tmp_path, state_every=1)


@pytest.fixture
def child(worker: Worker) -> str:
    """A job that extends, to three epochs, a job that ended after its first epoch."""
    parent = worker.submit(threads=3)
    work_on(worker.with_trainer("train an epoch, then crash").context)
    return extended(worker, parent)


def extended(worker: Worker, parent: str) -> str:
    context = Context(
        settings=worker.context.settings,
        database=worker.context.database,
        store=worker.context.store,
        cursors=CursorSeal(b"of nobody"),
        ring=lambda *_: None,
        wake_verifier=lambda: None,
    )
    rows = worker.rows
    owner = principal_of(rows)
    asked = Extension(epochs=3)
    return extend_job(context, owner, parent, asked, idempotency_key=None).listed.job.id


def lose(worker: Worker, job_id: str, *names: str) -> None:
    """Delete the bytes of the named checkpoint files, or of all if no name is given."""
    with worker.context.database.read() as unit:
        rows = list(checkpoints_of(unit.session, job_id))
    for row in rows:
        if not names or row.name in names:
            worker.context.store.delete(row.sha256)


def checkpoint_files(worker: Worker, job_id: str) -> list[tuple[str, int | None, int]]:
    with worker.context.database.read() as unit:
        rows = unit.session.scalars(select(Artifact).where(Artifact.job_id == job_id))
        return sorted(
            (row.name, row.epoch, row.attempt) for row in rows if row.kind == "checkpoint"
        )


class TestTheFirstAttempt:
    def test_the_first_attempt_of_an_extension_trains_after_the_joint_from_the_state(
        self, worker: Worker, child: str
    ) -> None:
        work_on(worker.with_trainer("train, then crash").context)

        database = worker.context.database
        assert epochs_of(database, child) == [(2, 1), (3, 1)]
        assert [each.resumed for each in attempts(database, child)] == ["exact"]
        assert [each.data for each in events_of(database, child, "resume.exact")] == [{"epoch": 1}]
        assert job_row(database, child).threads == 3
        with database.read() as unit:
            rows = epochs_of_line(unit.session, child, among=range(9))
        assert [row.epoch for row in rows] == [1, 2, 3]

    def test_the_first_attempt_of_an_extension_drops_the_inherited_state_once_it_has_a_newer_one(
        self, worker: Worker, child: str
    ) -> None:
        before = checkpoint_files(worker, child)

        work_on(worker.with_trainer("train, then crash").context)

        assert {(epoch, attempt) for _, epoch, attempt in before} == {(1, 0)}
        assert [each for each in checkpoint_files(worker, child) if each[0] == "state.pt"] == [
            ("state.pt", 3, 1)
        ]

    def test_the_first_attempt_of_an_extension_continues_plainly_where_the_state_is_lost(
        self, worker: Worker, child: str
    ) -> None:
        lose(worker, child, "state.pt")

        work_on(worker.with_trainer("train, then crash").context)

        assert epochs_of(worker.context.database, child) == [(2, 1), (3, 1)]
        assert [each.resumed for each in attempts(worker.context.database, child)] == ["plain"]

    def test_the_first_attempt_of_an_extension_fails_where_nothing_is_whole(
        self, worker: Worker, child: str
    ) -> None:
        lose(worker, child)

        work_on(worker.with_trainer("train").context)

        job = job_row(worker.context.database, child)
        assert (job.state, job.end_reason) == (JobState.FAILED, EndReason.STATE_LOST)
        assert epochs_of(worker.context.database, child) == []


class TestLaterAttempts:
    def test_later_attempts_start_over_from_the_joint_where_no_epoch_had_ended(
        self, worker: Worker, child: str
    ) -> None:
        database = worker.context.database
        work_on(worker.with_trainer("refuse the data").context)
        request(database, child, JobEvent.RETRY)

        work_on(worker.with_trainer("train, then crash").context)

        assert epochs_of(database, child) == [(2, 2), (3, 2)]
        assert [each.resumed for each in attempts(database, child)] == ["none", "exact"]

    def test_later_attempts_with_half_the_batch_continue_from_the_joint(
        self, worker: Worker, child: str
    ) -> None:
        work_on(worker.with_trainer("train with a batch of 8, then crash").context)

        database = worker.context.database
        assert job_row(database, child).resolved_spec["train"]["batch"] == 8
        assert epochs_of(database, child) == [(2, 2), (3, 2)]

    def test_later_attempts_continue_from_their_own_state_with_the_best_of_its_time(
        self, worker: Worker, child: str
    ) -> None:
        trainer = worker.with_trainer("die after each epoch, then crash")

        eventually(lambda: attempts_after_work(trainer, child) == 2, within=20)

        database = worker.context.database
        assert epochs_of(database, child) == [(2, 1), (3, 2)]
        assert [row.resumed for row in attempts(database, child)] == ["exact", "exact"]

    def test_later_attempts_without_anything_left_fail_as_the_first_does(
        self, worker: Worker, child: str
    ) -> None:
        work_on(worker.with_trainer("train an epoch, then crash").context)
        database = worker.context.database
        lose(worker, child)
        request(database, child, JobEvent.RETRY)

        work_on(worker.with_trainer("train").context)

        assert job_row(database, child).end_reason is EndReason.STATE_LOST


class TestAChildThatIsStopped:
    def test_an_extension_that_is_stopped_before_it_began_keeps_the_best_of_its_parent(
        self, worker: Worker, child: str
    ) -> None:
        request(worker.context.database, child, JobEvent.STOP)

        work_on(worker.with_trainer("train, then crash").context)

        assert epochs_of(worker.context.database, child) == []
        assert job_row(worker.context.database, child).best_epoch == 1
