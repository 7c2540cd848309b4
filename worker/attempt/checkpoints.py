"""Checkpoints: into the store with their epoch, and out of it again for a resume.

A checkpoint of an epoch is its last.pt, its results.csv, its best.pt and best_<name>.pt where these
changed, and its state.pt where the training state was written. What a resume starts from is a set
of such files: `app.artifacts.resume_sets`.
"""

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from app.artifacts.names import BEST, LAST, RESULTS, STATE, ArtifactKind
from app.artifacts.repository import (
    checkpoints_of,
    delete_checkpoints_after,
    drop_superseded_checkpoints,
    files_of,
    insert_artifact,
)
from app.artifacts.resume_sets import WHILE_NOT_ENDED, epochs_of_sets, set_of
from app.core.files import write_whole
from app.core.storage import ArtifactStore, StoredBytesCorrupt, StoredObject
from app.events.tables import Level
from app.jobs.life.recording import log_event
from app.jobs.locks import Hold
from app.jobs.tables import Job
from worker.trainer.protocol import STORING_SECONDS_FILE, CheckpointEvent


@dataclass(frozen=True)
class StoredCheckpoint:
    """The files of an epoch whose bytes are durable in the store."""

    epoch: int
    files: dict[str, StoredObject]


@dataclass(frozen=True)
class RestorableCheckpoint:
    """Digests of what a resume from `epoch` needs, and the epoch that its best.pt is of.

    With a state.pt among the files the resume can be exact.
    """

    epoch: int
    files: dict[str, str]
    best_epoch: int | None = None

    @property
    def has_state(self) -> bool:
        """Whether the training state of the epoch belongs to it."""
        return STATE in self.files

    def without_state(self) -> "RestorableCheckpoint":
        """Return what a plain resume needs of it."""
        files = {name: digest for name, digest in self.files.items() if name != STATE}
        return replace(self, files=files)


@dataclass(frozen=True)
class Damaged:
    """A checkpoint that could not be fetched whole, and whether its state was to be fetched too."""

    epoch: int
    reason: str
    with_state: bool = False


def store_checkpoint(
    store: ArtifactStore, event: CheckpointEvent, run_directory: Path
) -> StoredCheckpoint:
    """Put the files that the trainer linked for us, and unlink them."""
    files = {}
    for name, relative in event.files.items():
        if relative is not None:
            path = run_directory / relative
            began = time.monotonic()
            files[str(name)] = store.put_file(path)
            path.unlink()
            if name == STATE:
                _tell_trainer(run_directory, seconds=time.monotonic() - began)
    return StoredCheckpoint(event.epoch, files)


def _tell_trainer(run_directory: Path, *, seconds: float) -> None:
    """Let the trainer know what storing a state costs here: it decides how often it writes one."""
    with suppress(OSError):  # without room it hears nothing, and writes none but the last
        write_whole(run_directory / STORING_SECONDS_FILE, str(seconds), durable=False)


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
    # No grace: an epoch a minute would keep a terabyte a day, and no backup needs them.
    drop_superseded_checkpoints(session, hold.job_id, WHILE_NOT_ENDED, grace=timedelta())


def restorable_checkpoints(session: Session, job_id: str) -> list[RestorableCheckpoint]:
    """Return what a resume may start from, the best first.

    Exactly from an older epoch comes before plainly from a newer one: what is trained anew then is
    what was trained before.
    """
    newest_first = finalizable_checkpoints(session, job_id)
    return [
        *(each for each in newest_first if each.has_state),
        *(each.without_state() for each in newest_first),
    ]


def finalizable_checkpoints(session: Session, job_id: str) -> list[RestorableCheckpoint]:
    """Return what a job that is to be stopped may keep, the newest first."""
    rows = checkpoints_of(session, job_id)
    digests = {(row.name, row.epoch): row.sha256 for row in rows}
    files = files_of(rows)
    sets = {epoch: set_of(epoch, files) for epoch in epochs_of_sets(files)}
    return [
        RestorableCheckpoint(
            epoch, {name: digests[name, made] for name, made in of_then.items()}, of_then.get(BEST)
        )
        for epoch, of_then in sets.items()
    ]


def attempts_since_state(session: Session, job: Job) -> int:
    """Return how many attempts before the present one have left no training state, in a row."""
    rows = checkpoints_of(session, job.id)
    newest = max((row.attempt for row in rows if row.name == STATE), default=0)
    return job.attempt - 1 - newest


def restore_checkpoint(
    store: ArtifactStore,
    candidates: Sequence[RestorableCheckpoint],
    *,
    resume_folder: Path,
    run_directory: Path,
) -> tuple[RestorableCheckpoint | None, list[Damaged]]:
    """Fetch the first of the candidates that is whole.

    Its last.pt and state.pt go to `resume_folder`, which holds nothing else; the rest to the run.

    Returns it, or None where none is whole, and those that were tried before it.
    """
    damaged: list[Damaged] = []
    for candidate in candidates:
        weights = {name: run_directory / "weights" / name for name in candidate.files}
        apart = {LAST: resume_folder / LAST, STATE: resume_folder / STATE}
        places = weights | apart | {RESULTS: run_directory / RESULTS}
        try:
            _fetch_all(store, candidate, places)
        except (FileNotFoundError, StoredBytesCorrupt) as error:
            damaged.append(Damaged(candidate.epoch, type(error).__name__, candidate.has_state))
            _clear(run_directory)
            _clear(resume_folder)
            continue
        return candidate, damaged
    return None, damaged


def forget_refused_checkpoint(session: Session, hold: Hold) -> None:
    """Forget the newest checkpoint, which the trainer could not read; the one before it is next.

    Its bytes are those that were stored: nothing else would ever find out that they are no good.
    """
    newest = next(iter(epochs_of_sets(files_of(checkpoints_of(session, hold.job_id)))), None)
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
