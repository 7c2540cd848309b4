"""What a worker writes while it holds a job. Every function begins with the guarded UPDATE.

A hold that is not valid any more raises `Fenced`, and nothing of that transaction lands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import JsonValue
from sqlalchemy import delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.events.repository import append_event
from app.events.tables import Level
from app.jobs.lifecycle import Fenced, Hold, held_by
from app.jobs.states import Phase, Request
from app.jobs.tables import Epoch, Job, JobProgress, LogChunk

CURVE_POINTS = 40


@dataclass(frozen=True)
class ProgressReport:
    """Where the running attempt is; see the columns of `job_progress`."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    losses: Mapping[str, float | None]
    eta_seconds: float | None


@dataclass(frozen=True)
class EpochReport:
    """One finished epoch; `best` is set when it is the new best."""

    epoch: int
    metrics: Mapping[str, float | None]
    duration_seconds: float
    lr: Mapping[str, float | None] = field(default_factory=dict)
    system: Mapping[str, float | None] = field(default_factory=dict)
    best_metric: str | None = None
    best_value: float | None = None
    is_best: bool = False


def guarded_update(session: Session, hold: Hold, values: Mapping[str, Any]) -> Job:
    """Change the held job's row and return it, holding its row lock.

    Raises:
        Fenced: the hold is not valid any more.
    """
    statement = (
        update(Job)
        .where(*held_by(hold))
        .values(**values)
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    job = session.scalars(statement).one_or_none()
    if job is None:
        raise Fenced(hold)
    return job


def renew_lease(session: Session, hold: Hold, *, lease: timedelta) -> Request | None:
    """Extend the lease from the database's present time; return what is requested of the job."""
    return guarded_update(session, hold, {"lease_expires_at": database_now(lease)}).request


def pending_request(session: Session, hold: Hold) -> Request | None:
    """Return what is requested of the held job: one read by primary key.

    Raises:
        Fenced: the hold is not valid any more.
    """
    job = session.get(Job, hold.job_id)
    if job is None or job.attempt != hold.attempt or job.lease_expires_at is None:
        raise Fenced(hold)
    return job.request


def set_phase(session: Session, hold: Hold, phase: Phase) -> None:
    """Say what the attempt is doing now."""
    guarded_update(session, hold, {"phase": phase})


def freeze_threads(session: Session, hold: Hold, threads: int) -> int:
    """Fix the job's CPU threads at its first attempt; return what a resume must repeat."""
    job = guarded_update(session, hold, {"last_seq": Job.last_seq})
    if job.threads is None:
        job = guarded_update(session, hold, {"threads": threads})
    return job.threads or threads


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
    append_event(session, job.id, job.last_seq, type_, level=level, data=data)


def record_progress(
    session: Session, hold: Hold, report: ProgressReport, *, lease: timedelta
) -> Request | None:
    """Write the progress row and renew the lease in one transaction; return what is requested."""
    request = renew_lease(session, hold, lease=lease)
    values: dict[str, Any] = {
        "epoch": report.epoch,
        "epochs": report.epochs,
        "batch": report.batch,
        "batches": report.batches,
        "losses": dict(report.losses),
        "eta_seconds": report.eta_seconds,
        "updated_at": database_now(),
    }
    _upsert(session, JobProgress, {"job_id": hold.job_id}, values)
    return request


def record_epoch(session: Session, hold: Hold, report: EpochReport) -> None:
    """Write a finished epoch, once: a repeated report of the same epoch replaces its row."""
    values: dict[str, Any] = {"restarts": 0, "last_seq": Job.last_seq + 1}
    if report.is_best:
        values |= {
            "best_epoch": report.epoch,
            "best_metric": report.best_metric,
            "best_value": report.best_value,
        }
    job = guarded_update(session, hold, values)
    row: dict[str, Any] = {
        "attempt": hold.attempt,
        "metrics": dict(report.metrics),
        "lr": dict(report.lr),
        "system": dict(report.system),
        "duration_seconds": report.duration_seconds,
        "created_at": database_now(),
    }
    _upsert(session, Epoch, {"job_id": hold.job_id, "epoch": report.epoch}, row)
    append_event(session, job.id, job.last_seq, "epoch.finished", data={"epoch": report.epoch})


def extend_curve(session: Session, hold: Hold, value: float | None) -> None:
    """Add one point to the curve that lists show; it is thinned to every other at 40 points."""
    job = guarded_update(session, hold, {"last_seq": Job.last_seq})
    curve = [*(job.curve or []), value]
    if len(curve) > CURVE_POINTS:
        curve = curve[1::2]
    guarded_update(session, hold, {"curve": curve})


def trim_epochs_after(session: Session, hold: Hold, epoch: int) -> None:
    """Drop what is newer than the checkpoint that a resume starts from."""
    guarded_update(session, hold, {"last_seq": Job.last_seq})
    session.execute(delete(Epoch).where(Epoch.job_id == hold.job_id, Epoch.epoch > epoch))


def append_log(session: Session, hold: Hold, *, offset: int, chunk: bytes) -> None:
    """Keep a piece of the attempt's log; `offset` is the bytes before it in this attempt."""
    guarded_update(session, hold, {"last_seq": Job.last_seq})
    session.execute(
        insert(LogChunk).values(
            job_id=hold.job_id, attempt=hold.attempt, offset=offset, bytes=chunk
        )
    )


def _upsert(session: Session, table: type[Any], key: dict[str, Any], values: dict[str, Any]) -> None:
    # Both dialects spell ON CONFLICT alike, through constructs of their own.
    make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = make(table).values(**key, **values)
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))
