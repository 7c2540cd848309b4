"""A hostile trainer ends its own job only: no foreign file is read, changed or removed."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.artifacts.repository import artifacts_of
from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.states import JobState
from tests.worker.hostile import hostile_trainer
from tests.worlds.rows import job_row
from tests.worlds.worker import Worker
from worker.attempt import supervisor
from worker.attempt.event_limits import MOST_NOTES
from worker.tasks import work_on
from worker.trainer.null_trainer import null_check

pytestmark = pytest.mark.mostly_sqlite

SECRET = b"what no tenant may read"
HOSTILE = Path(hostile_trainer.__file__)
NOTES = "endless notes"
IGNORED = {"a plot that is a link", "a plot that is a pipe", "planted links", "a deep tree"}
"""Attacks whose job succeeds all the same."""
QUICK = {
    "a result outside", "a checkpoint outside", "a link", "a second name", "a pipe",
    "a plot that is a pipe", "another folder", "no events", "one endless line", "planted links",
    "a deep tree",
}  # fmt: skip
"""The others differ from these in what the tests of one part show."""


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "foreign" / "trainyard.db"
    path.parent.mkdir()
    path.write_bytes(SECRET)
    return path


@pytest.fixture
def hostile(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Return a slot without a cage: what its supervisor does must be enough.

    The proof of its weights passes, so that a trainer without any can finish.
    """
    monkeypatch.setattr(
        supervisor, "portability_check", lambda _, env, file: null_check([], env, file)
    )
    cages = replace(worker.context.cages, mode="off")
    return replace(worker, context=replace(worker.context, cages=cages))


def attacked(worker: Worker, attack: str, victim: Path) -> str:
    argv = (sys.executable, str(HOSTILE), attack, str(victim))
    attacking = replace(worker, context=replace(worker.context, trainer_argv=argv))
    job_id = attacking.submit(max_restarts=0)
    work_on(attacking.context)
    return job_id


def stored(worker: Worker) -> Iterator[bytes]:
    assert worker.context.store.local_root is not None
    for path in worker.context.store.local_root.rglob("*"):
        if path.is_file():
            yield path.read_bytes()


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, marks=() if attack in QUICK else pytest.mark.slow)
        for attack in sorted(hostile_trainer.ATTACKS.keys() - {NOTES})
    ],
)
def test_an_attack_reaches_no_foreign_file(
    hostile: Worker, database: Database, victim: Path, attack: str
) -> None:
    job_id = attacked(hostile, attack, victim)

    assert victim.read_bytes() == SECRET
    assert all(SECRET not in content for content in stored(hostile))
    job = job_row(database, job_id)
    expected = (JobState.SUCCEEDED, EndReason.SUCCEEDED)
    if attack not in IGNORED:
        expected = (JobState.FAILED, EndReason.TRAINER_BUG)
    assert (job.state, job.end_reason) == expected
    assert list(hostile.context.attempts_folder.iterdir()) == []


def test_a_plot_that_may_not_be_stored_is_left_out(
    hostile: Worker, database: Database, victim: Path
) -> None:
    job_id = attacked(hostile, "a plot that is a link", victim)

    with database.read() as unit:
        assert [each.name for each in artifacts_of(unit.session, job_id)] == []


def test_endless_notes_leave_a_bounded_event_log(
    hostile: Worker, database: Database, victim: Path
) -> None:
    job_id = attacked(hostile, NOTES, victim)

    assert job_row(database, job_id).state is JobState.SUCCEEDED
    assert MOST_NOTES <= job_row(database, job_id).last_seq < MOST_NOTES + 20
