"""A restore takes the newest complete checkpoint, or the one before it."""

import hashlib
import os
from pathlib import Path

import pytest
from sqlalchemy import select

from app.artifacts.repository import checkpoint_rows
from app.core.database import Database
from app.core.guarded_files import GuardedFolder
from app.core.storage import ArtifactStore
from app.jobs.locks import Hold, guarded_update
from app.jobs.tables import Job
from tests.counting import counted
from tests.worlds.rows import a_job, claim, some_rows
from worker.attempt.checkpoints import (
    RestorableCheckpoint,
    finalizable_checkpoints,
    record_checkpoints,
    restorable_checkpoints,
    restore_checkpoint,
    store_checkpoint,
)
from worker.trainer.protocol import STORING_SECONDS_FILE, CheckpointEvent

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def saved(database: Database, store: ArtifactStore, tmp_path: Path) -> list[RestorableCheckpoint]:
    """Store two epochs: the first is the best, and each has a file kept for another metric."""
    a_job(database, some_rows(database))
    hold = claim(database)
    for epoch, names in (
        (1, ("last.pt", "results.csv", "best.pt", "best_recall.pt")),
        (2, ("last.pt", "results.csv", "best_f1.pt")),
    ):
        save(database, store, hold, tmp_path / "made", (epoch, names))
    with database.read() as unit:
        return restorable_checkpoints(unit.session, hold.job_id)


@pytest.fixture
def with_states(
    database: Database, store: ArtifactStore, tmp_path: Path
) -> list[RestorableCheckpoint]:
    """Store five epochs; the first and the third have a training state."""
    a_job(database, some_rows(database))
    hold = claim(database)
    for epoch in range(1, 6):
        names = ("last.pt", "results.csv", *["best.pt"] * (epoch == 1))
        states = ("state.pt",) * (epoch in {1, 3})
        save(database, store, hold, tmp_path / "made", (epoch, names + states))
    with database.read() as unit:
        return restorable_checkpoints(unit.session, hold.job_id)


def save(
    database: Database,
    store: ArtifactStore,
    hold: Hold,
    folder: Path,
    made: tuple[int, tuple[str, ...]],
) -> None:
    epoch, names = made
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"{name} of {epoch}")
    event = CheckpointEvent(epoch=epoch, files={name: name for name in names})
    stored = store_checkpoint(store, event, GuardedFolder(folder))
    with database.write() as unit:
        guarded_update(unit.session, hold, {"attempt": hold.attempt})
        known = checkpoint_rows(unit.session, hold.job_id)
        record_checkpoints(unit.session, hold, [stored], known)


def restore(
    store: ArtifactStore, candidates: list[RestorableCheckpoint], folder: Path
) -> tuple[int, list[int], dict[str, str]]:
    """Restore; return the epoch (0: none), the damaged epochs, and the restored files."""
    run = folder / "run"
    run.mkdir()
    resume = folder / "resume"
    resume.mkdir()
    restored, damaged = restore_checkpoint(
        store, candidates, resume_folder=resume, run_directory=run
    )
    files = {
        path.name: path.read_text()
        for place in (run, resume)
        for path in place.rglob("*")
        if path.is_file()
    }
    return restored.epoch if restored else 0, [each.epoch for each in damaged], files


def test_files_of_a_damaged_checkpoint_are_removed_while_their_folder_stays(
    store: ArtifactStore, saved: list[RestorableCheckpoint], tmp_path: Path
) -> None:
    store.delete(saved[0].files["results.csv"])
    run = tmp_path / "run"
    (run / "weights" / "of a crash").mkdir(parents=True)
    (tmp_path / "resume").mkdir()
    before = os.open(run, os.O_RDONLY | os.O_DIRECTORY)

    restore_checkpoint(store, saved, resume_folder=tmp_path / "resume", run_directory=run)

    assert os.fstat(before).st_nlink > 0, "the folder was removed, so its guard refuses its files"
    assert not (run / "weights" / "of a crash").exists()
    os.close(before)


class TestStoreCheckpoint:
    def test_storing_a_state_reports_its_seconds_to_the_trainer(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        told = tmp_path / STORING_SECONDS_FILE
        for name in ("last.pt", "state.pt"):
            assert not told.exists()
            (tmp_path / name).write_text("of an epoch")

            store_checkpoint(
                store, CheckpointEvent(epoch=1, files={name: name}), GuardedFolder(tmp_path)
            )

        assert 0 < float(told.read_text()) < 60

    def test_a_best_that_is_the_last_is_read_and_stored_once(
        self, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = ("last.pt", "best.pt", "best_f1.pt", "results.csv")
        (tmp_path / "last.pt").write_text("of an epoch")
        (tmp_path / "results.csv").write_text("epoch,time")
        for name in ("best.pt", "best_f1.pt"):
            (tmp_path / name).hardlink_to(tmp_path / "last.pt")
        event = CheckpointEvent(epoch=1, files={name: name for name in names})

        with counted(monkeypatch, hashlib, "file_digest") as digests:
            stored = store_checkpoint(store, event, GuardedFolder(tmp_path))

        assert len(digests) == 2
        assert list(stored.files) == list(names)
        assert stored.files["best.pt"] == stored.files["best_f1.pt"] == stored.files["last.pt"]
        assert stored.files["results.csv"] != stored.files["last.pt"]
        assert [name for name in names if (tmp_path / name).exists()] == []


class TestRestoreCheckpoint:
    def test_a_restore_takes_the_newest_checkpoint_with_the_best_of_its_time(
        self, store: ArtifactStore, saved: list[RestorableCheckpoint], tmp_path: Path
    ) -> None:
        epoch, damaged, files = restore(store, saved, tmp_path)

        assert (epoch, damaged) == (2, [])
        assert files == {
            "last.pt": "last.pt of 2",
            "results.csv": "results.csv of 2",
            "best.pt": "best.pt of 1",
            "best_recall.pt": "best_recall.pt of 1",
            "best_f1.pt": "best_f1.pt of 2",
        }
        assert (tmp_path / "run" / "weights" / "best_recall.pt").exists()

    def test_plots_of_batches_are_restored_beside_the_results(
        self, database: Database, store: ArtifactStore, tmp_path: Path
    ) -> None:
        a_job(database, some_rows(database))
        hold = claim(database)
        save(database, store, hold, tmp_path / "made", (1, ("last.pt", "train_batch0.jpg")))
        save(database, store, hold, tmp_path / "made", (2, ("last.pt", "results.csv")))
        with database.read() as unit:
            candidates = restorable_checkpoints(unit.session, hold.job_id)

        epoch, _, files = restore(store, candidates, tmp_path)

        assert (epoch, files["train_batch0.jpg"]) == (2, "train_batch0.jpg of 1")
        assert (tmp_path / "run" / "train_batch0.jpg").exists()

    def test_a_restorable_checkpoint_knows_the_epoch_of_its_best(
        self, saved: list[RestorableCheckpoint]
    ) -> None:
        assert [(each.epoch, each.best_epoch) for each in saved] == [(2, 1), (1, 1)]

    @pytest.mark.parametrize("harm", ["missing", "damaged"])
    @pytest.mark.parametrize("name", ["last.pt", "results.csv"])
    def test_a_restore_falls_back_to_the_previous_checkpoint(
        self,
        store: ArtifactStore,
        saved: list[RestorableCheckpoint],
        tmp_path: Path,
        harm: str,
        name: str,
    ) -> None:
        digest = saved[0].files[name]
        (stored,) = (tmp_path / "home" / "store").rglob(digest)
        stored.unlink() if harm == "missing" else stored.write_bytes(b"?")

        epoch, damaged, files = restore(store, saved, tmp_path)

        assert (epoch, damaged) == (1, [2])
        assert set(files.values()) == {f"{name} of 1" for name in files}

    def test_a_restore_without_a_whole_checkpoint_has_no_files(
        self, store: ArtifactStore, saved: list[RestorableCheckpoint], tmp_path: Path
    ) -> None:
        for candidate in saved:
            store.delete(candidate.files["results.csv"])

        epoch, damaged, files = restore(store, saved, tmp_path)

        assert (epoch, damaged) == (0, [2, 1])
        assert files == {}


class TestTrainingStates:
    def test_an_exact_resume_from_an_older_epoch_beats_a_plain_one_from_a_newer_epoch(
        self, with_states: list[RestorableCheckpoint]
    ) -> None:
        order = [(each.epoch, each.has_state) for each in with_states]

        assert order[:2] == [(3, True), (1, True)]
        assert order[2:] == [(5, False), (4, False), (3, False), (1, False)]

    def test_a_state_comes_with_the_files_of_its_time(
        self, store: ArtifactStore, with_states: list[RestorableCheckpoint], tmp_path: Path
    ) -> None:
        epoch, damaged, files = restore(store, with_states, tmp_path)

        assert (epoch, damaged) == (3, [])
        assert files == {
            "last.pt": "last.pt of 3",
            "state.pt": "state.pt of 3",
            "results.csv": "results.csv of 3",
            "best.pt": "best.pt of 1",
        }
        assert (tmp_path / "resume" / "state.pt").exists()

    @pytest.mark.parametrize("name", ["state.pt", "last.pt", "results.csv"])
    def test_a_damaged_state_gives_way_to_the_previous_one(
        self,
        store: ArtifactStore,
        with_states: list[RestorableCheckpoint],
        tmp_path: Path,
        name: str,
    ) -> None:
        store.delete(with_states[0].files[name])

        epoch, damaged, files = restore(store, with_states, tmp_path)

        assert (epoch, damaged) == (1, [3])
        assert files["state.pt"] == "state.pt of 1"

    def test_the_newest_weights_are_taken_where_no_state_is_whole(
        self, store: ArtifactStore, with_states: list[RestorableCheckpoint], tmp_path: Path
    ) -> None:
        for each in with_states[:2]:
            store.delete(each.files["state.pt"])

        epoch, damaged, files = restore(store, with_states, tmp_path)

        assert (epoch, damaged) == (5, [3, 1])
        assert "state.pt" not in files

    def test_a_job_that_is_only_finalized_takes_the_newest_checkpoint(
        self, database: Database, with_states: list[RestorableCheckpoint]
    ) -> None:
        assert with_states
        with database.read() as unit:
            job_id = unit.session.scalars(select(Job.id)).one()

            found = finalizable_checkpoints(unit.session, job_id)

        assert [each.epoch for each in found] == [5, 4, 3, 1]
