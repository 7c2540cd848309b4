"""Checkpoints: into the store with their epoch, and out of it again for a resume.

A checkpoint of an epoch is its last.pt, its results.csv, and its best.pt and best_<name>.pt where
these changed. The two newest are kept, so that a damaged one has a good one behind it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from app.artifacts.repository import (
    checkpoints_of,
    condemn,
    delete_checkpoints_after,
    delete_checkpoints_before,
    insert_artifact,
)
from app.artifacts.tables import Artifact, ArtifactKind
from app.core.storage import ArtifactStore, StoredBytesCorrupt, StoredObject
from app.events.tables import Level
from app.jobs.execution import log_event
from app.jobs.lifecycle import Hold
from worker.trainer.protocol import CheckpointEvent

LAST, BEST, RESULTS = "last.pt", "best.pt", "results.csv"
OF_EVERY_EPOCH = (LAST, RESULTS)
KEPT_EPOCHS = 2


@dataclass(frozen=True)
class StoredCheckpoint:
    """The files of an epoch whose bytes are durable in the store."""

    epoch: int
    files: dict[str, StoredObject]


@dataclass(frozen=True)
class RestorableCheckpoint:
    """Digests of what a resume from `epoch` needs, and the epoch that its best.pt is of."""

    epoch: int
    files: dict[str, str]
    best_epoch: int | None = None


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


def record_checkpoints(
    session: Session, hold: Hold, checkpoints: Sequence[StoredCheckpoint]
) -> None:
    """Write the rows of checkpoints and drop what is too old; the caller holds the row's lock.

    A worker deletes no bytes: one that was stopped and is fenced could delete what its successor
    has just found stored. It condemns them in this transaction, for the collector.
    """
    for checkpoint in checkpoints:
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
    _drop_old(session, hold.job_id)


def _drop_old(session: Session, job_id: str) -> None:
    rows = checkpoints_of(session, job_id)
    last_epochs = _epochs(rows, LAST)
    oldest_kept = last_epochs[:KEPT_EPOCHS][-1] if last_epochs else 0
    for name in {row.name for row in rows}:
        # A resume from the oldest kept epoch needs the best files of its own time.
        epochs = [epoch for epoch in _epochs(rows, name) if epoch <= oldest_kept]
        kept_from = oldest_kept if name in OF_EVERY_EPOCH else next(iter(epochs), 0)
        delete_checkpoints_before(session, job_id, name=name, epoch=kept_from)
    kept = {row.sha256 for row in checkpoints_of(session, job_id)}
    # No grace: an epoch a minute would keep a terabyte a day, and no backup needs them.
    condemn(session, {row.sha256 for row in rows} - kept, grace=timedelta())


def _epochs(rows: Sequence[Artifact], name: str) -> list[int]:
    return [row.epoch for row in rows if row.name == name and row.epoch is not None]


def restorable_checkpoints(session: Session, job_id: str) -> list[RestorableCheckpoint]:
    """Return what a resume may start from, the newest first."""
    rows = checkpoints_of(session, job_id)
    return [_restorable_at(rows, epoch) for epoch in _epochs(rows, LAST)]


def _restorable_at(rows: Sequence[Artifact], epoch: int) -> RestorableCheckpoint:
    files: dict[str, str] = {}
    best_epoch = None
    for row in rows:  # the newest epoch first: of each best file the newest that is old enough
        is_of_then = row.epoch is not None and row.epoch <= epoch
        if row.name in files or not is_of_then:
            continue
        if row.name not in OF_EVERY_EPOCH or row.epoch == epoch:
            files[row.name] = row.sha256
            best_epoch = row.epoch if row.name == BEST else best_epoch
    return RestorableCheckpoint(epoch, files, best_epoch)


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
        weights = {name: run_directory / "weights" / name for name in candidate.files}
        places = weights | {LAST: resume_file, RESULTS: run_directory / RESULTS}
        try:
            _fetch_all(store, candidate, places)
        except (FileNotFoundError, StoredBytesCorrupt) as error:
            damaged.append(Damaged(candidate.epoch, type(error).__name__))
            _clear(run_directory)
            continue
        return candidate, damaged
    return None, damaged


def forget_refused_checkpoint(session: Session, hold: Hold) -> None:
    """Forget the newest checkpoint, which the trainer could not read; the one before it is next.

    Its bytes are those that were stored: nothing else would ever find out that they are no good.
    """
    newest = next(iter(_epochs(checkpoints_of(session, hold.job_id), LAST)), None)
    if newest is not None:
        delete_checkpoints_after(session, hold.job_id, epoch=newest - 1)
        log_damaged(session, hold, Damaged(newest, "refused by the trainer"))


def log_damaged(session: Session, hold: Hold, damaged: Damaged) -> None:
    """Say in the job's log that a checkpoint is no good."""
    log_event(
        session,
        hold,
        "checkpoint.damaged",
        level=Level.WARNING,
        data={"epoch": damaged.epoch, "reason": damaged.reason},
    )


def _fetch_all(
    store: ArtifactStore, candidate: RestorableCheckpoint, places: dict[str, Path]
) -> None:
    for name, sha256 in candidate.files.items():
        places[name].parent.mkdir(parents=True, exist_ok=True)
        store.fetch(sha256, places[name])


def _clear(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
