"""Everything that a worker writes while it holds a job, each time after the guarded UPDATE.

An invalid hold raises `Fenced`, and the transaction is rolled back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pydantic import JsonValue
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from app.core.database import announce, database_now, upsert
from app.core.wake_ups import PROGRESS
from app.events.repository import append_event
from app.events.tables import EPOCH_FINISHED, Level
from app.fleet.tables import Cordon, Worker
from app.jobs.class_metrics import Columns, packed
from app.jobs.life.epoch_columns import shown_columns, within
from app.jobs.life.recorded import Curve, RecordedRows
from app.jobs.lineage import epochs_of_line, joint_of
from app.jobs.locks import Fenced, Hold, guarded_update
from app.jobs.spec.deciding_metric import DecidingMetric
from app.jobs.spec.metric_table import Direction
from app.jobs.states import JobState, Phase, Request
from app.jobs.tables import Attempt, Epoch, EpochClasses, Job, JobProgress

CURVE_POINTS = 40
MAX_DEVICE_NAME = 200


@dataclass(frozen=True)
class ProgressReport:
    """Progress of the running attempt; see the columns of `job_progress`."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    losses: Mapping[str, float | None]
    eta_seconds: float | None


@dataclass(frozen=True)
class EpochReport:
    """One finished epoch, and its value of the deciding metric.

    `epochs` are those of the spec. `last_epoch` is the last one as far as the trainer knows, or
    None if it is the spec's; `eta_seconds` is the time to its end, or None if this was the last
    one. A metric that is not finite is None. `classes` are its per-class metrics, if requested.
    `rank` is the value, negated where lower is better.
    `direction` is that in which the deciding metric is better.
    """

    epoch: int
    epochs: int
    metrics: Mapping[str, float | None]
    duration_seconds: float
    last_epoch: int | None = None
    eta_seconds: float | None = None
    optimizer_steps: int = 0
    lr: Mapping[str, float | None] = field(default_factory=dict)
    system: Mapping[str, float | None] = field(default_factory=dict)
    classes: Columns | None = None
    deciding_metric: str | None = None
    direction: Direction = "higher"
    value: float | None = None
    rank: float | None = None
    is_best: bool = False


def unacknowledged_claim(session: Session, worker_id: str, *, lease: timedelta) -> Job | None:
    """Return the job that a slot claimed without receiving the answer, with its lease renewed.

    Call it only between two jobs, after a claim whose COMMIT got no answer.
    """
    statement = (
        update(Job)
        .where(
            Job.worker_id == worker_id,
            Job.state == JobState.RUNNING,
            Job.lease_expires_at > database_now(),
        )
        .values(lease_expires_at=database_now(lease))
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    return session.scalars(statement).one_or_none()


def renew_lease(
    session: Session, hold: Hold, *, lease: timedelta, phase: Phase | None = None
) -> Request | None:
    """Extend the lease from the current database time, and record a new phase if there is one.

    Returns the job's pending request.
    """
    values: dict[str, Any] = {"lease_expires_at": database_now(lease)}
    if phase is not None:
        values["phase"] = phase
    return guarded_update(session, hold, values).request


@dataclass(frozen=True)
class Orders:
    """What a worker must do with its job: its pending request, and whether the slot drains."""

    request: Request | None
    drains: bool


def pending_orders(session: Session, hold: Hold) -> Orders:
    """Return the orders for the held job, with one read by primary keys.

    Raises:
        Fenced: the hold is no longer valid.
    """
    row = session.connection().execute(_SELECT_ORDERS, {"job": hold.job_id}).one_or_none()
    if row is None or row.attempt != hold.attempt or row.lease_expires_at is None:
        raise Fenced(hold)
    return Orders(row.request, drains=row.cordon is Cordon.DRAINING)


# Built once: building a statement takes longer than running it.
_SELECT_ORDERS = (
    select(Job.request, Job.attempt, Job.lease_expires_at, Worker.cordon)
    .outerjoin(Worker, Worker.id == Job.worker_id)
    .where(Job.id == bindparam("job"))
)


def set_phase(session: Session, hold: Hold, phase: Phase) -> None:
    """Record the phase of the attempt."""
    guarded_update(session, hold, {"phase": phase})


def freeze_threads(session: Session, hold: Hold, threads: int) -> int:
    """Set the job's CPU threads at its first attempt; return the value for every attempt."""
    job = guarded_update(session, hold, {"last_seq": Job.last_seq})
    if job.threads is None:
        job = guarded_update(session, hold, {"threads": threads})
    return job.threads or threads


def note_started(
    session: Session,
    hold: Hold,
    *,
    device_name: str,
    first_epoch: int,
    data: Mapping[str, JsonValue],
) -> None:
    """Record that the trainer has started, its device and the first epoch that it trains."""
    guarded_update(session, hold, {"device_name": device_name[:MAX_DEVICE_NAME]})
    _change_attempt(session, hold, first_epoch=first_epoch)
    log_event(session, hold, "trainer.started", data=data)


def log_event(
    session: Session,
    hold: Hold,
    type_: str,
    *,
    level: Level = Level.INFO,
    data: Mapping[str, JsonValue] | None = None,
) -> None:
    """Append an event to the held job's log."""
    job = guarded_update(session, hold, {"last_seq": Job.last_seq + 1})
    append_event(session, hold.job_id, job.last_seq, type_, level=level, data=data)


def record_progress(
    session: Session, hold: Hold, report: ProgressReport, *, lease: timedelta
) -> Request | None:
    """Write the progress row and renew the lease together; return the pending request.

    A batch has ended, so the job is training.
    """
    request = renew_lease(session, hold, lease=lease, phase=Phase.TRAINING)
    put_progress(session, hold, report)
    return request


def put_progress(session: Session, hold: Hold, report: ProgressReport) -> None:
    """Write the progress row of the held job, in the transaction of a guarded UPDATE."""
    values: dict[str, Any] = {
        "job_id": hold.job_id,
        "epoch": report.epoch,
        "epochs": report.epochs,
        "batch": report.batch,
        "batches": report.batches,
        "losses": dict(report.losses),
        "eta_seconds": report.eta_seconds,
        "updated_at": database_now(),
    }
    session.execute(upsert(session, JobProgress, values, key=("job_id",)))
    announce(session, PROGRESS)


def finish_progress(session: Session, hold: Hold, epochs: int) -> None:
    """Set the progress to the end of the last epoch, in the transaction of a guarded UPDATE."""
    session.execute(
        update(JobProgress)
        .where(JobProgress.job_id == hold.job_id)
        .values(
            epoch=epochs,
            epochs=epochs,
            batch=JobProgress.batches,
            eta_seconds=None,
            updated_at=database_now(),
        )
    )
    announce(session, PROGRESS)


def record_epoch(
    session: Session, hold: Hold, report: EpochReport, recorded: RecordedRows
) -> RecordedRows:
    """Write a finished epoch. A repeated report of the same attempt changes nothing.

    Args:
        session: a transaction.
        hold: guards the writes.
        report: the epoch.
        recorded: what the rows say before.

    Returns:
        What they say afterwards.
    """
    if report.epoch <= recorded.epoch:
        guarded_update(session, hold, {"last_seq": Job.last_seq})
        return recorded
    curve = _curve_with(recorded.curve, report)
    values: dict[str, Any] = {
        "last_seq": Job.last_seq + 1,
        "restarts": 0,
        "curve": curve,
        "phase": Phase.TRAINING,
    }
    if report.is_best:
        values |= {
            "best_epoch": report.epoch,
            "best_metric": report.deciding_metric,
            "best_value": report.value,
            "best_rank": report.rank,
            "best_at": best_at(report.epoch, report.direction, report.metrics),
        }
    job = guarded_update(session, hold, values)
    _write_epoch(session, hold, report)
    finished: dict[str, JsonValue] = {
        "epoch": report.epoch,
        "optimizer_steps": report.optimizer_steps,
        "best": report.is_best,
        **shown_columns(report.metrics, report.lr, report.system),
    }
    append_event(session, hold.job_id, job.last_seq, EPOCH_FINISHED, data=finished)
    if recorded.progress_epoch is not None and recorded.progress_epoch < report.epoch:
        _catch_up(session, hold, report)
        recorded = replace(recorded, progress_epoch=report.epoch)
    return replace(recorded, epoch=report.epoch, curve=curve)


def best_at(
    epoch: int, direction: Direction, metrics: Mapping[str, float | None]
) -> dict[str, JsonValue]:
    """Return what the row of a job has of its best epoch, besides the deciding value."""
    return {"epoch": epoch, "direction": direction, "metrics": within(metrics)[0]}


def _write_epoch(session: Session, hold: Hold, report: EpochReport) -> None:
    key = {"job_id": hold.job_id, "epoch": report.epoch}
    row: dict[str, Any] = {
        **key,
        "attempt": hold.attempt,
        "metrics": dict(report.metrics),
        "lr": dict(report.lr),
        "system": dict(report.system),
        "duration_seconds": report.duration_seconds,
        "created_at": database_now(),
    }
    session.execute(upsert(session, Epoch, row, key=tuple(key)))
    if report.classes:
        classes = {**key, "columns": packed(report.classes)}
        session.execute(upsert(session, EpochClasses, classes, key=tuple(key)))


def _catch_up(session: Session, hold: Hold, report: EpochReport) -> None:
    """Advance the progress to the end of an epoch that was too short for a progress report."""
    session.execute(
        update(JobProgress)
        .where(JobProgress.job_id == hold.job_id, JobProgress.epoch <= report.epoch)
        .values(
            epoch=report.epoch,
            epochs=report.last_epoch or report.epochs,
            batch=JobProgress.batches,
            eta_seconds=report.eta_seconds,
            updated_at=database_now(),
        )
    )
    announce(session, PROGRESS)


def curve_stride(epochs: int) -> int:
    """Return the number of epochs between two points of the curve in lists."""
    return max(1, -(-epochs // CURVE_POINTS))


def _curve_with(curve: Curve, report: EpochReport) -> list[float | None]:
    stride = curve_stride(report.epochs)
    points = list(curve)[: (report.epoch - 1) // stride]
    return points if report.epoch % stride else [*points, report.value]


def trim_epochs_after(
    session: Session,
    hold: Hold,
    epoch: int,
    *,
    best_epoch: int | None,
    deciding: DecidingMetric,
) -> None:
    """Delete the records of epochs after the checkpoint that a resume starts from.

    `best_epoch` is the epoch of the best.pt that belongs to the checkpoint. It becomes the job's
    best epoch again; it may be an epoch of the parent. `deciding` is the metric
    that chooses it. The event `epochs.dropped` names the epochs.
    """
    job = guarded_update(session, hold, {"last_seq": Job.last_seq})
    last_epoch = session.scalar(
        select(func.max(Epoch.epoch)).where(Epoch.job_id == hold.job_id, Epoch.epoch > epoch)
    )
    if last_epoch is not None:
        dropped: dict[str, JsonValue] = {"first_epoch": epoch + 1, "last_epoch": last_epoch}
        log_event(session, hold, "epochs.dropped", data=dropped)
    for table in (Epoch, EpochClasses):
        session.execute(delete(table).where(table.job_id == hold.job_id, table.epoch > epoch))
    if job.best_epoch is None or job.best_epoch <= epoch:
        return
    best = _best_of(session, hold.job_id, best_epoch, deciding.value_of)
    values = {
        "best_epoch": best_epoch if best else None,
        "best_value": best[0] if best else None,
        "best_rank": deciding.rank_of(best[0]) if best else None,
        "best_metric": job.best_metric if best else None,
        "best_at": _earlier_best_at(session, hold.job_id, best_epoch) if best else None,
    }
    guarded_update(session, hold, values)


def _earlier_best_at(
    session: Session, job_id: str, epoch: int | None
) -> dict[str, JsonValue] | None:
    """Return what the row has of an earlier best epoch, which the parent may have trained."""
    newer = session.scalar(select(Job.best_at).where(Job.id == job_id))
    found = epochs_of_line(session, job_id, among=[epoch or 0])
    if newer is None or not found:
        return None  # an earlier release wrote the newer one, or the parent was deleted
    return best_at(found[0].epoch, newer["direction"], found[0].metrics)


def _best_of(
    session: Session,
    job_id: str,
    epoch: int | None,
    value_of: Callable[[Mapping[str, float | None]], float | None],
) -> tuple[float | None] | None:
    """Return the value of the epoch, trained by the job or its parent; None if by neither."""
    row = session.get(Epoch, (job_id, epoch)) if epoch is not None else None
    if row is not None:
        return (value_of(row.metrics),)
    joint = joint_of(session, job_id)
    if joint is None or epoch is None or joint.best_epoch != epoch:
        return None
    return (joint.best_value,)


def note_resumed(session: Session, hold: Hold, resumed: str, epoch: int) -> None:
    """Record how the attempt resumed, none | exact | plain, and after which epoch."""
    guarded_update(session, hold, {"last_seq": Job.last_seq})
    _change_attempt(session, hold, resumed=resumed, resumed_from=epoch)


def _change_attempt(session: Session, hold: Hold, **values: object) -> None:
    session.execute(
        update(Attempt)
        .where(Attempt.job_id == hold.job_id, Attempt.number == hold.attempt)
        .values(**values)
    )
