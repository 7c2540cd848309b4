"""All that a trainer needs, brought to the attempt's directory: data, weights, checkpoint."""

import os
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy.orm import Session

from app.artifacts.names import LAST, STATE
from app.artifacts.repository import delete_checkpoints_after, forget_states
from app.core.crash_points import CrashPoint, crash_point
from app.core.storage import StoredBytesCorrupt, StoreUnavailable
from app.datasets.archives.pack import PackCorruptError, materialise_view
from app.datasets.tables import DatasetVersion
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
from worker.trainer.protocol import ArchitectureSource, JobFile, ModelSource, WeightsSource

MAX_DEFAULT_THREADS = 8
ATTEMPTS_WITHOUT_STATE = 2


def prepare(attempt: ClaimedAttempt, layers: ExitStack) -> JobFile:
    """Bring everything to the attempt's directory and write its job.json.

    What has to stay while the trainer runs is entered into `layers`.

    Raises:
        AttemptFailed: something that the job names cannot be had.
        LeaveRequested, LeaseLost, Fenced: the attempt is not wanted any more.
    """
    attempt.check()
    dataset = _bring_dataset(attempt, layers)
    crash_point(CrashPoint.DATASET_BROUGHT)
    attempt.check()
    model = _bring_model(attempt)
    attempt.check()
    joint = attempt.lease.read(lambda session: joint_of(session, attempt.job.id))
    restored = _bring_checkpoint(attempt, joint)
    attempt.check()
    has_state = restored is not None and restored.has_state
    job_file = JobFile(
        job_id=attempt.job.id,
        attempt=attempt.job.attempt,
        spec=attempt.spec,
        task=attempt.spec.task,
        dataset_path=dataset,
        model=model,
        run_directory=attempt.directory.run,
        device=attempt.context.slot.device,
        threads=_threads(attempt),
        resume_from=attempt.directory.resume / LAST if restored else None,
        state_from=attempt.directory.resume / STATE if has_state else None,
        state_every=_state_every(attempt),
        joint=None if joint is None else joint.epoch,
        only_finalize=_only_finalizes(attempt, restored),
        memory_limit_bytes=_memory_limit(attempt),
    )
    attempt.directory.job_file.write_text(job_file.model_dump_json(), encoding="utf-8")
    crash_point(CrashPoint.JOB_FILE_WRITTEN)
    return job_file


def _bring_dataset(attempt: ClaimedAttempt, layers: ExitStack) -> Path:
    digest = _pack_digest(attempt)
    try:
        content = layers.enter_context(attempt.context.datasets.entry(digest, check=attempt.check))
    except (FileNotFoundError, StoredBytesCorrupt, PackCorruptError) as error:
        raise AttemptFailed(
            EndReason.BAD_DATA, f"The stored data set {digest[:12]}… is missing or damaged."
        ) from error
    materialise_view(content, attempt.directory.dataset)
    return attempt.directory.dataset


def _pack_digest(attempt: ClaimedAttempt) -> str:
    with attempt.context.database.read() as unit:
        version = unit.session.get(DatasetVersion, attempt.job.dataset_version_id)
        if version is None or version.pack_sha256 is None:
            raise AttemptFailed(
                EndReason.BAD_DATA, f"{attempt.job.dataset_version_id} is not a ready version."
            )
        return version.pack_sha256


def _bring_model(attempt: ClaimedAttempt) -> ModelSource:
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


def _bring_checkpoint(attempt: ClaimedAttempt, joint: Joint | None) -> RestorableCheckpoint | None:
    """Restore the best checkpoint that is whole, and forget what is newer than it.

    Raises:
        AttemptFailed: none is whole, and the job does not begin at the first epoch.
        StoreUnavailable: the store is not the one of this job, and nothing is forgotten for that.
    """
    # What a stopped job came to is its newest weights: no state is needed to keep them.
    find = finalizable_checkpoints if _is_to_be_stopped(attempt) else restorable_checkpoints
    with attempt.context.database.read() as unit:
        candidates = find(unit.session, attempt.job.id)
    restored, damaged = restore_checkpoint(
        attempt.context.store,
        candidates,
        resume_folder=attempt.directory.resume,
        run_directory=attempt.directory.run,
    )
    if damaged and not attempt.context.store.exists(_pack_digest(attempt)):
        # Another folder or bucket, or one that is not mounted; the data set was still cached here.
        raise StoreUnavailable("The artifact store has neither checkpoint nor data set of the job.")
    if joint is not None and restored is None:
        message = f"Nothing is whole from which epoch {joint.epoch + 1} or a later one could begin."
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
        value_of=attempt.deciding.value_of,
    )
    delete_checkpoints_after(session, hold.job_id, epoch=epoch)
    forget_states(session, hold.job_id, [each.epoch for each in damaged if each.with_state])
    for each in damaged:
        log_damaged(session, hold, each)


def _only_finalizes(attempt: ClaimedAttempt, restored: RestorableCheckpoint | None) -> bool:
    """Whether a stop was requested before there was a trainer to tell, and there is a result."""
    if not _is_to_be_stopped(attempt):
        return False
    if restored is None and attempt.job.request is Request.STOP:
        raise AttemptFailed(EndReason.NOTHING_TO_KEEP, "No checkpoint of the job is whole.")
    return restored is not None


def _is_to_be_stopped(attempt: ClaimedAttempt) -> bool:
    return Request.STOP in {attempt.job.request, attempt.lease.request}


def _state_every(attempt: ClaimedAttempt) -> int | None:
    """Epochs between training states: after every one where attempts live too short to write any.

    Such a job would begin again and again at the same state, or never resume exactly.
    """
    asked = attempt.context.settings.state_every
    if asked is not None:
        return asked
    with attempt.context.database.read() as unit:
        idle = attempts_since_state(unit.session, attempt.job)
    return 1 if idle >= ATTEMPTS_WITHOUT_STATE else None


def _threads(attempt: ClaimedAttempt) -> int:
    default = default_threads(os.cpu_count() or 1)
    return attempt.lease.write(lambda session: freeze_threads(session, attempt.lease.hold, default))


def default_threads(cores: int) -> int:
    """CPU threads of a trainer, as Ultralytics 8.4.190 counts them (utils/__init__.py)."""
    return min(MAX_DEFAULT_THREADS, max(1, cores - 1))


def _memory_limit(attempt: ClaimedAttempt) -> int | None:
    # CUDA reserves more address space than there is memory: a limit would keep it from starting.
    on_cpu = not attempt.context.slot.gpus
    return attempt.context.settings.worker.memory_limit_bytes if on_cpu else None
