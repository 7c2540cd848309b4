"""Store the checkpoints of epochs, and restore them for a resume.

The checkpoint of an epoch consists of last.pt, results.csv, each best.pt and best_<name>.pt that
changed in it, plots of its training batches, and state.pt if the training state was written. A
resume starts from a set of such files: `app.artifacts.resume_sets`.
"""

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from app.artifacts.names import BEST, LAST, STATE
from app.artifacts.repository import (
    CheckpointRow,
    checkpoints_of,
    delete_checkpoints_after,
    drop_superseded_rows,
    files_of,
    insert_checkpoints,
)
from app.artifacts.resume_sets import WHILE_NOT_ENDED, epochs_of_sets, set_of
from app.core.guarded_files import FileRefused, GuardedFolder
from app.core.storage import ArtifactStore, StoredBytesCorrupt, StoredObject
from app.events.tables import Level
from app.jobs.life.recording import log_event
from app.jobs.locks import Hold
from app.jobs.tables import Job
from worker.attempt.trainer_files import WEIGHTS_BYTES, opened_file, remove_file
from worker.trainer.protocol import STORING_SECONDS_FILE, CheckpointEvent


@dataclass(frozen=True)
class StoredCheckpoint:
    """The files that one epoch wrote: durable in the store, but not in the database yet.

    It lacks the files that did not change in this epoch; a `RestorableCheckpoint` has them.
    """

    epoch: int
    files: dict[str, StoredObject]


@dataclass(frozen=True)
class RestorableCheckpoint:
    """A resume set that the database lists: every file that a resume from `epoch` needs, by digest.

    Its best.pt and best_<name>.pt may come from earlier epochs; `best_epoch` is the epoch of its
    best.pt. The resume can be exact if state.pt is among the files.
    """

    epoch: int
    files: dict[str, str]
    best_epoch: int | None = None

    @property
    def has_state(self) -> bool:
        """Whether it contains the training state of its epoch."""
        return STATE in self.files

    def without_state(self) -> "RestorableCheckpoint":
        """Return it without state.pt, for a plain resume."""
        files = {name: digest for name, digest in self.files.items() if name != STATE}
        return replace(self, files=files)


@dataclass(frozen=True)
class Damaged:
    """The epoch of a checkpoint that could not be used, and why; it names no file.

    `with_state` is true if its state.pt was among the files to fetch.
    """

    epoch: int
    reason: str
    with_state: bool = False


def store_checkpoint(
    store: ArtifactStore, event: CheckpointEvent, run: GuardedFolder
) -> StoredCheckpoint:
    """Store the files that the trainer handed over as links, and remove the links.

    Names of the same file, such as a best.pt that is the last.pt, are stored once.

    Raises:
        AttemptFailed: a file is not one that the trainer may hand over.
    """
    files: dict[str, StoredObject] = {}
    stored: dict[int, StoredObject] = {}  # by inode: every file exists before the first is removed
    for name, relative in event.files.items():
        if relative is not None:
            began = time.monotonic()
            with opened_file(run, relative, most_bytes=WEIGHTS_BYTES) as file:
                inode = os.fstat(file.fileno()).st_ino
                known = stored.get(inode)
                files[str(name)] = stored[inode] = known or store.put_open_file(file)
            remove_file(run, relative)
            if name == STATE:
                _report_storing_time(run, seconds=time.monotonic() - began)
    return StoredCheckpoint(event.epoch, files)


def _report_storing_time(run: GuardedFolder, *, seconds: float) -> None:
    """Report to the trainer how long storing a state took; it decides how often to write one."""
    # On a full disk: without the report it writes only the last state.
    with suppress(OSError, FileRefused):
        run.write(STORING_SECONDS_FILE, str(seconds))


def record_checkpoints(
    session: Session,
    hold: Hold,
    checkpoints: Sequence[StoredCheckpoint],
    known: Sequence[CheckpointRow],
    *,
    awaiting_state: int | None = None,
) -> list[CheckpointRow]:
    """Write the rows of checkpoints and drop superseded ones; the caller holds the row's lock.

    The set of the epoch `awaiting_state` is kept: its training state follows.

    A worker deletes no bytes: a frozen worker that is fenced could delete bytes that its successor
    has just found in the store. It condemns them in this transaction, for the collector.

    `known` are the rows of the job's checkpoints so far. Returns those that there are now.
    """
    files = {
        (name, checkpoint.epoch): stored
        for checkpoint in checkpoints
        for name, stored in checkpoint.files.items()
    }
    made = insert_checkpoints(session, hold.job_id, files, attempt=hold.attempt)
    rows = [*(row for row in known if (row.name, row.epoch) not in files), *made]
    # No grace: an epoch per minute would keep a terabyte per day, and no backup needs these files.
    kept = replace(WHILE_NOT_ENDED, awaiting_state=awaiting_state)
    return drop_superseded_rows(session, rows, kept, grace=timedelta())


def restorable_checkpoints(session: Session, job_id: str) -> list[RestorableCheckpoint]:
    """Return the checkpoints that a resume may start from, the best first.

    An exact resume from an older epoch comes before a plain one from a newer epoch, because it
    repeats exactly the epochs that were trained before.
    """
    newest_first = finalizable_checkpoints(session, job_id)
    return [
        *(checkpoint for checkpoint in newest_first if checkpoint.has_state),
        *(checkpoint.without_state() for checkpoint in newest_first),
    ]


def finalizable_checkpoints(session: Session, job_id: str) -> list[RestorableCheckpoint]:
    """Return the checkpoints that a job with a pending stop can finalize, the newest first."""
    rows = checkpoints_of(session, job_id)
    digests = {(row.name, row.epoch): row.sha256 for row in rows}
    files = files_of(rows)
    sets = {epoch: set_of(epoch, files) for epoch in epochs_of_sets(files)}
    return [
        RestorableCheckpoint(
            epoch,
            {name: digests[name, made] for name, made in made_by_name.items()},
            made_by_name.get(BEST),
        )
        for epoch, made_by_name in sets.items()
    ]


def attempts_since_state(session: Session, job: Job) -> int:
    """Return how many consecutive attempts before the current one left no training state."""
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
    """Fetch the first complete candidate.

    Its last.pt and state.pt go to `resume_folder`, which contains no other file; the rest goes to
    its place in `run_directory`.

    Returns it, or None if no candidate is complete, and the damaged ones that were tried before.
    """
    damaged: list[Damaged] = []
    for candidate in candidates:
        places = {
            name: _folder_of(name, resume_folder, run_directory) / name for name in candidate.files
        }
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
    """Delete the newest checkpoint, which the trainer could not read; the one before it is next.

    Its bytes match their digest, so no other check would ever find that they are unusable.
    """
    newest = next(iter(epochs_of_sets(files_of(checkpoints_of(session, hold.job_id)))), None)
    if newest is not None:
        delete_checkpoints_after(session, hold.job_id, epoch=newest - 1)
        log_damaged(session, hold, Damaged(newest, "refused by the trainer"))


def log_damaged(session: Session, hold: Hold, damaged: Damaged) -> None:
    """Record in the job's event log that a checkpoint is damaged."""
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


def _folder_of(name: str, resume_folder: Path, run_directory: Path) -> Path:
    if name in {LAST, STATE}:
        return resume_folder
    return run_directory / "weights" if name.endswith(".pt") else run_directory


def _clear(folder: Path) -> None:
    """Empty a folder but keep the folder itself: a `GuardedFolder` refuses one that replaced it."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
