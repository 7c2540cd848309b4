"""The end of an attempt: store artifacts and logs, then record everything in one transaction."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue
from sqlalchemy.orm import Session

from app.artifacts.names import LAST, ArtifactKind
from app.artifacts.repository import forget_shown, insert_artifact
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import OUTAGE
from app.core.errors import InsufficientStorage, Unavailable
from app.core.logging import get_logger
from app.core.storage import StoredObject
from app.jobs.class_metrics import write_class_table
from app.jobs.end_reasons import EndReason
from app.jobs.life.log_pieces import replace_log_pieces
from app.jobs.life.recording import log_event
from app.jobs.life.transitions import AttemptEnd, HalvedBatch, Refused, apply_event
from app.jobs.locks import Fenced, Hold, lock_held
from app.jobs.states import JobEvent, Request
from worker.attempt.checkpoints import forget_refused_checkpoint
from worker.attempt.claimed import AttemptFailed, ClaimedAttempt
from worker.attempt.lease import RETRY_SECONDS, Lease
from worker.attempt.logs.log_shipping import ErrorLine, store_logs
from worker.attempt.outcome import Outcome, outcome_of
from worker.attempt.trainer_files import most_bytes_of, opened_file
from worker.context import WorkerContext
from worker.trainer.protocol import Artifact, FinalEvent
from worker.trainer.weights.portability import WeightsChecks

CLASS_TABLE = "per_class.csv"

log = get_logger(__name__)


@dataclass(frozen=True)
class KeptArtifact:
    """A result of a finished training: durable in the store, but not in the database yet.

    It comes from a protocol `Artifact`, which names a local file, or is `per_class.csv`, or shows
    the final validation. It is never a file of a checkpoint. `size` is that of a preview: pixels.
    """

    name: str
    kind: ArtifactKind
    epoch: int | None
    stored: StoredObject
    checks: Mapping[str, JsonValue] | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Conclusion:
    """How an attempt ended: outcome, the trainer's report, files to keep, the next batch size.

    `amended` is a merge patch of the job's spec that avoids a failure.
    """

    outcome: Outcome
    exit_code: int | None = None
    message: str | None = None
    hint: str | None = None
    final: FinalEvent | None = None
    kept: tuple[KeptArtifact, ...] = ()
    halved: HalvedBatch | None = None
    amended: Mapping[str, JsonValue] | None = None


def store_artifacts(
    attempt: ClaimedAttempt, final: FinalEvent | None, checks: Mapping[str, WeightsChecks]
) -> tuple[KeptArtifact, ...]:
    """Store the results of a training: the files that the trainer named, and `per_class.csv`.

    Args:
        attempt: the attempt whose trainer has finished.
        final: its `final` event; without one, nothing is stored.
        checks: results of the checks of its weights, by file name.

    Raises:
        AttemptFailed: the trainer named a file that it may not hand over.
    """
    if final is None:
        return ()
    stored = (
        _stored_if_whole(attempt, final, artifact, checks.get(artifact.name))
        for artifact in final.artifacts
    )
    return (*(kept for kept in stored if kept is not None), *_class_table(attempt))


def _stored_if_whole(
    attempt: ClaimedAttempt, final: FinalEvent, named: Artifact, checks: WeightsChecks | None
) -> KeptArtifact | None:
    """Store a result; a plot that may not be stored is left out, since no result depends on it.

    Raises:
        AttemptFailed: weights, a table or a configuration may not be stored.
    """
    try:
        return _stored(attempt, final, named, checks)
    except AttemptFailed as error:
        if named.kind is not ArtifactKind.PLOT:
            raise
        log.warning("artifact.refused", job_id=attempt.job.id, reason=error.message)
        return None


def _stored(
    attempt: ClaimedAttempt, final: FinalEvent, named: Artifact, checks: WeightsChecks | None
) -> KeptArtifact:
    default = {LAST: final.epochs_done}.get(named.name, final.best_epoch)
    epoch = named.epoch if named.epoch is not None else default
    most_bytes = most_bytes_of(named.kind)
    with opened_file(attempt.directory.run_files, named.path, most_bytes=most_bytes) as file:
        stored = attempt.context.store.put_open_file(file)
    return KeptArtifact(
        named.name,
        named.kind,
        epoch if named.kind is ArtifactKind.WEIGHTS else None,
        stored,
        None if checks is None else checks.model_dump(),
    )


def _class_table(attempt: ClaimedAttempt) -> tuple[KeptArtifact, ...]:
    path = attempt.directory.new_folder() / CLASS_TABLE

    def write(session: Session) -> bool:
        with path.open("w", encoding="utf-8") as file:
            return write_class_table(session, attempt.job, file)

    if not attempt.spec.customize.metrics.per_class or not attempt.lease.read(write):
        return ()
    stored = attempt.context.store.put_file(path)
    return (KeptArtifact(CLASS_TABLE, ArtifactKind.TABLE, None, stored),)


def conclude(attempt: ClaimedAttempt, conclusion: Conclusion) -> None:
    """Write the end of the attempt, its artifacts and its log, in one transaction.

    Raises:
        Fenced: the hold is not valid any more.
        LeaseLost: the database was unavailable for too long.
    """
    logs, log_line = _stored_logs(attempt, conclusion)
    end = replace(_end_of(conclusion, attempt.context), log_line=log_line)
    attempt.lease.write(lambda session: _write(session, attempt, conclusion, (end, logs)))
    crash_point(CrashPoint.END_AFTER_COMMIT)
    log.info(
        "attempt.ended",
        job_id=attempt.job.id,
        attempt=attempt.job.attempt,
        reason=end.reason.value,
        exit_code=end.exit_code,
    )


def report_lost_lease(context: WorkerContext, lease: Lease) -> None:
    """Return the job to the queue, uncounted, if the database returns before the reconciler acts.

    The trainer is dead. The write is guarded like any other: it has no effect if another attempt
    was claimed. The reconciler ends this attempt if the database stays unavailable.
    """
    end = AttemptEnd(EndReason.LEASE_LOST, message="The database could not be reached in time.")
    _record_bare_end(context, lease, outcome_of(end.reason).event, end)


def report_failure(context: WorkerContext, lease: Lease, conclusion: Conclusion) -> None:
    """Record the end, without files, of an attempt that could not record it by itself.

    The job then does not wait for its lease to expire. Every process of the attempt is dead.
    """
    _record_bare_end(context, lease, conclusion.outcome.event, _end_of(conclusion, context))


def _record_bare_end(
    context: WorkerContext, lease: Lease, event: JobEvent, end: AttemptEnd
) -> None:
    pause = threading.Event()
    while lease.silent_seconds < 2 * lease.length.total_seconds():
        try:
            lease.write_once(lambda session: _apply(session, lease.hold, event, end))
        except Fenced:
            return
        except OUTAGE:
            pause.wait(RETRY_SECONDS)
        else:
            log.warning("attempt.end_recorded", job_id=lease.hold.job_id)
            return
        if context.leaving.is_set():
            return


def _stored_logs(
    attempt: ClaimedAttempt, conclusion: Conclusion
) -> tuple[Mapping[int, StoredObject], int | None]:
    """Store the logs. Return them by attempt, and the line that tells why this one failed."""

    def store() -> tuple[Mapping[int, StoredObject], int | None]:
        error_line = _error_line(conclusion)
        stored = store_logs(
            attempt.context.database,
            attempt.context.store,
            attempt.lease.hold,
            folder=attempt.directory.new_folder(),
            error_line=error_line,
        )
        return stored, None if error_line is None else error_line.number

    try:
        return attempt.lease.insist(store)
    except (InsufficientStorage, Unavailable, OSError):
        log.exception("log.not_stored", job_id=attempt.job.id)
        return {}, None  # the pieces stay readable; the job's end matters more


def _error_line(conclusion: Conclusion) -> ErrorLine | None:
    if conclusion.outcome.event not in {JobEvent.FAIL, JobEvent.INTERRUPT}:
        return None
    return ErrorLine(conclusion.message, raised=(conclusion.exit_code or 0) > 0)


def _end_of(conclusion: Conclusion, context: WorkerContext) -> AttemptEnd:
    return AttemptEnd(
        conclusion.outcome.reason,
        exit_code=conclusion.exit_code,
        message=conclusion.message,
        hint=conclusion.hint,
        restart_backoff=context.settings.timing.restart_backoff,
        halved=conclusion.halved,
        amended=conclusion.amended,
    )


def _write(
    session: Session,
    attempt: ClaimedAttempt,
    conclusion: Conclusion,
    ending: tuple[AttemptEnd, Mapping[int, StoredObject]],
) -> None:
    hold = attempt.lease.hold
    end, logs = ending
    lock_held(session, hold)
    if conclusion.kept:
        forget_shown(session, hold.job_id)
    for artifact in conclusion.kept:
        insert_artifact(
            session,
            hold.job_id,
            artifact.stored,
            attempt=hold.attempt,
            kind=artifact.kind,
            name=artifact.name,
            epoch=artifact.epoch,
            checks=artifact.checks,
            size=artifact.size,
        )
    replace_log_pieces(session, hold, logs)
    if end.reason is EndReason.BAD_CHECKPOINT:
        forget_refused_checkpoint(session, hold)
    if conclusion.kept and conclusion.final is not None:
        data = conclusion.final.model_dump(
            exclude={"seq", "at", "type", "artifacts", "curves", "worst_images"}
        )
        log_event(session, hold, "trainer.finished", data=data)
    _apply(session, hold, conclusion.outcome.event, end)
    crash_point(CrashPoint.END_BEFORE_COMMIT)


def _apply(session: Session, hold: Hold, event: JobEvent, end: AttemptEnd) -> None:
    job = lock_held(session, hold)
    if event is JobEvent.LEAVE and job.request is Request.STOP:
        # It left because of a pause, but a stop is requested now: the job still needs a result.
        event = JobEvent.DRAIN
    if isinstance(apply_event(session, job, event, end), Refused):
        # The request was withdrawn meanwhile: the job continues from its checkpoint.
        apply_event(session, lock_held(session, hold), JobEvent.DRAIN, end)
