"""Prepare an attempt: put dataset, weights, checkpoint and job.json into its directory."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from app.artifacts.names import LAST, STATE
from app.artifacts.repository import delete_checkpoints_after, forget_states
from app.core.crash_points import CrashPoint, crash_point
from app.core.storage import StoredBytesCorrupt, StoreUnavailable
from app.jobs.end_reasons import EndReason
from app.jobs.life.recording import freeze_threads, trim_epochs_after
from app.jobs.lineage import joint_of
from app.jobs.states import Request
from app.jobs.tables import Joint
from worker.attempt.checkpoints import (
    Damaged,
    RestorableCheckpoint,
    attempts_since_state,
    finalizable_checkpoints,
    log_damaged,
    restorable_checkpoints,
    restore_checkpoint,
)
from worker.attempt.claimed import AttemptFailed, ClaimedAttempt
from worker.attempt.dataset import bring_dataset, stored_digest
from worker.trainer.protocol import ArchitectureSource, JobFile, ModelSource, WeightsSource

MAX_DEFAULT_THREADS = 8
ATTEMPTS_WITHOUT_STATE = 2


@dataclass(frozen=True)
class PreparedJob:
    """What the trainer starts from: its file, and the folder of the dataset that it may read."""

    job_file: JobFile
    dataset: Path


def prepare(attempt: ClaimedAttempt, layers: ExitStack) -> PreparedJob:
    """Fetch everything that the trainer needs into the attempt's directory, and write its job.json.

    Resources that must stay while the trainer runs are entered into `layers`.

    Raises:
        AttemptFailed: something that the job names is missing or damaged.
        LeaveRequested, LeaseLost, Fenced: the attempt must not continue.
    """
    attempt.check()
    dataset = bring_dataset(attempt, layers)
    crash_point(CrashPoint.DATASET_BROUGHT)
    attempt.check()
    model = _fetch_model(attempt)
    attempt.check()
    joint = attempt.lease.read(lambda session: joint_of(session, attempt.job.id))
    restored = _fetch_checkpoint(attempt, joint)
    attempt.check()
    has_state = restored is not None and restored.has_state
    job_file = JobFile(
        job_id=attempt.job.id,
        attempt=attempt.job.attempt,
        spec=attempt.spec,
        task=attempt.spec.task,
        dataset_path=dataset.path,
        scan=dataset.scan,
        without_arrays=dataset.without_arrays,
        model=model,
        run_directory=attempt.directory.run,
        device=attempt.context.slot.device,
        threads=_threads(attempt),
        resume_from=attempt.directory.resume / LAST if restored else None,
        state_from=attempt.directory.resume / STATE if has_state else None,
        state_every=_state_every(attempt),
        joint=None if joint is None else joint.epoch,
        only_finalize=_only_finalizes(attempt, restored),
        memory_limit_bytes=attempt.memory_limit_bytes,
    )
    attempt.directory.job_file.write_text(job_file.model_dump_json(), encoding="utf-8")
    crash_point(CrashPoint.JOB_FILE_WRITTEN)
    return PreparedJob(job_file, dataset.version)


def _fetch_model(attempt: ClaimedAttempt) -> ModelSource:
    name, digest = attempt.job.model, attempt.job.model_sha256
    if digest is None:
        return ArchitectureSource(name=name)
    path = attempt.directory.model / (name if name.endswith(".pt") else "weights.pt")
    try:
        attempt.context.store.fetch(digest, path, check=attempt.check)
    except (FileNotFoundError, StoredBytesCorrupt) as error:
        raise AttemptFailed(
            EndReason.BAD_WEIGHTS, f"The stored weights of {name} are missing or damaged."
        ) from error
    return WeightsSource(name=name, path=path)


def _fetch_checkpoint(attempt: ClaimedAttempt, joint: Joint | None) -> RestorableCheckpoint | None:
    """Restore the best complete checkpoint, and delete the records of later epochs.

    Raises:
        AttemptFailed: no checkpoint is complete, and the job extends another one.
        StoreUnavailable: the store is not the one of this job; then no record is deleted.
    """
    # The result of a stopped job is its newest weights; keeping them needs no training state.
    find = finalizable_checkpoints if _stop_is_pending(attempt) else restorable_checkpoints
    with attempt.context.database.read() as unit:
        candidates = find(unit.session, attempt.job.id)
    restored, damaged = restore_checkpoint(
        attempt.context.store,
        candidates,
        resume_folder=attempt.directory.resume,
        run_directory=attempt.directory.run,
    )
    if damaged and not attempt.context.store.exists(stored_digest(attempt)):
        # The store is another folder or bucket, or is not mounted; the dataset was cached here.
        raise StoreUnavailable("The artifact store has neither checkpoint nor dataset of the job.")
    if joint is not None and restored is None:
        message = (
            f"There is no complete checkpoint to start epoch {joint.epoch + 1} or a later one from."
        )
        raise AttemptFailed(EndReason.STATE_LOST, message)
    attempt.lease.write(lambda session: _start_after(session, attempt, restored, damaged))
    return restored


def _start_after(
    session: Session,
    attempt: ClaimedAttempt,
    restored: RestorableCheckpoint | None,
    damaged: list[Damaged],
) -> None:
    hold = attempt.lease.hold
    epoch = restored.epoch if restored else 0
    trim_epochs_after(
        session,
        hold,
        epoch,
        best_epoch=restored.best_epoch if restored else None,
        deciding=attempt.deciding,
    )
    delete_checkpoints_after(session, hold.job_id, epoch=epoch)
    damaged_states = [checkpoint.epoch for checkpoint in damaged if checkpoint.with_state]
    forget_states(session, hold.job_id, damaged_states)
    for checkpoint in damaged:
        log_damaged(session, hold, checkpoint)


def _only_finalizes(attempt: ClaimedAttempt, restored: RestorableCheckpoint | None) -> bool:
    """Return whether a stop is pending before the trainer starts, and there is a result to keep.

    Raises:
        AttemptFailed: the job was claimed with a pending stop, and no checkpoint is complete.
    """
    if not _stop_is_pending(attempt):
        return False
    if restored is None and attempt.job.request is Request.STOP:
        raise AttemptFailed(EndReason.NOTHING_TO_KEEP, "No checkpoint of the job is complete.")
    return restored is not None


def _stop_is_pending(attempt: ClaimedAttempt) -> bool:
    return Request.STOP in {attempt.job.request, attempt.lease.request}


def _state_every(attempt: ClaimedAttempt) -> int | None:
    """Return the epochs between training states; None leaves the choice to the trainer.

    Return 1 if the last attempts ended too early to write a state. Otherwise such a job would start
    at the same state again and again, or never resume exactly.
    """
    configured = attempt.context.settings.state_every
    if configured is not None:
        return configured
    with attempt.context.database.read() as unit:
        attempts = attempts_since_state(unit.session, attempt.job)
    return 1 if attempts >= ATTEMPTS_WITHOUT_STATE else None


def _threads(attempt: ClaimedAttempt) -> int:
    default = default_threads(os.cpu_count() or 1)
    return attempt.lease.write(lambda session: freeze_threads(session, attempt.lease.hold, default))


def default_threads(cores: int) -> int:
    """Return the CPU threads of a trainer, as Ultralytics 8.4.190 does (utils/__init__.py)."""
    return min(MAX_DEFAULT_THREADS, max(1, cores - 1))
