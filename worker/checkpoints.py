"""Checkpoints: into the store with their epoch, and out of it again for a resume.

A checkpoint of an epoch is its last.pt, its results.csv, and its best.pt where that changed. The
two newest are kept, so that a damaged one has a good one behind it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from app.artifacts.repository import (
    checkpoints_of,
    delete_checkpoints_before,
    insert_artifact,
    unreferenced,
)
from app.artifacts.tables import Artifact, ArtifactKind
from app.core.storage import ArtifactStore, StoredBytesCorrupt, StoredObject
from app.jobs.lifecycle import Hold
from worker.trainer.protocol import CheckpointEvent

LAST, BEST, RESULTS = "last.pt", "best.pt", "results.csv"
KEPT_EPOCHS = 2


@dataclass(frozen=True)
class StoredCheckpoint:
    """The files of an epoch whose bytes are durable in the store."""

    epoch: int
    files: dict[str, StoredObject]


@dataclass(frozen=True)
class RestorableCheckpoint:
    """Digests of what a resume from `epoch` needs."""

    epoch: int
    files: dict[str, str]


@dataclass(frozen=True)
class Damaged:
    """A checkpoint that could not be fetched whole."""

    epoch: int
    reason: str


def store_checkpoint(
    store: ArtifactStore, event: CheckpointEvent, run_directory: Path
) -> StoredCheckpoint:
    """Put the files that the trainer linked for us, and unlink them."""
    files = {}
    for name, relative in event.files.items():
        if relative is not None:
            path = run_directory / relative
            files[str(name)] = store.put_file(path)
            path.unlink()
    return StoredCheckpoint(event.epoch, files)


def record_checkpoint(session: Session, hold: Hold, checkpoint: StoredCheckpoint) -> list[str]:
    """Write the rows of a checkpoint and drop what is too old.

    Returns the digests that no artifact names any more. The caller holds the job's row lock.
    """
    for name, stored in checkpoint.files.items():
        insert_artifact(
            session,
            hold.job_id,
            stored,
            attempt=hold.attempt,
            kind=ArtifactKind.CHECKPOINT,
            name=name,
            epoch=checkpoint.epoch,
        )
    return _drop_old(session, hold.job_id)


def _drop_old(session: Session, job_id: str) -> list[str]:
    rows = checkpoints_of(session, job_id)
    last_epochs = _epochs(rows, LAST)
    oldest_kept = last_epochs[:KEPT_EPOCHS][-1] if last_epochs else 0
    # A resume from the oldest kept epoch needs the best of its own time.
    best_of_then = next((epoch for epoch in _epochs(rows, BEST) if epoch <= oldest_kept), 0)
    for name, epoch in ((LAST, oldest_kept), (RESULTS, oldest_kept), (BEST, best_of_then)):
        delete_checkpoints_before(session, job_id, name=name, epoch=epoch)
    return unreferenced(session, {row.sha256 for row in rows})


def _epochs(rows: Sequence[Artifact], name: str) -> list[int]:
    return [row.epoch for row in rows if row.name == name and row.epoch is not None]


def restorable_checkpoints(session: Session, job_id: str) -> list[RestorableCheckpoint]:
    """Return what a resume may start from, the newest first."""
    rows = checkpoints_of(session, job_id)
    return [RestorableCheckpoint(epoch, _files_at(rows, epoch)) for epoch in _epochs(rows, LAST)]


def _files_at(rows: Sequence[Artifact], epoch: int) -> dict[str, str]:
    files = {row.name: row.sha256 for row in rows if row.epoch == epoch and row.name != BEST}
    best = [row for row in rows if row.name == BEST and row.epoch is not None]
    of_then = next(
        (row.sha256 for row in best if row.epoch is not None and row.epoch <= epoch), None
    )
    return files | ({BEST: of_then} if of_then else {})


def restore_checkpoint(
    store: ArtifactStore,
    candidates: Sequence[RestorableCheckpoint],
    *,
    resume_file: Path,
    run_directory: Path,
) -> tuple[RestorableCheckpoint | None, list[Damaged]]:
    """Fetch the newest checkpoint that is whole: last.pt to `resume_file`, the rest to the run.

    Returns it, or None where none is whole, and those that were tried before it.
    """
    damaged: list[Damaged] = []
    for candidate in candidates:
        places = {
            LAST: resume_file,
            RESULTS: run_directory / RESULTS,
            BEST: run_directory / "weights" / BEST,
        }
        try:
            _fetch_all(store, candidate, places)
        except (FileNotFoundError, StoredBytesCorrupt) as error:
            damaged.append(Damaged(candidate.epoch, type(error).__name__))
            _clear(run_directory)
            continue
        return candidate, damaged
    return None, damaged


def _fetch_all(
    store: ArtifactStore, candidate: RestorableCheckpoint, places: dict[str, Path]
) -> None:
    for name, sha256 in candidate.files.items():
        places[name].parent.mkdir(parents=True, exist_ok=True)
        store.fetch(sha256, places[name])


def _clear(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
