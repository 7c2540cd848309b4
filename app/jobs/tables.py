"""Jobs and their records. Lists read `jobs` and `job_progress`, never `epochs`."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import byte_ordered, checked_enum
from app.core.database import Base, OrderedJson, UtcDateTime
from app.jobs.end_reasons import EndReason
from app.jobs.states import JobState, Phase, Request

# Lists leave out the trash, however full it is, so their indexes do too.
_LIVE = text("trashed_at IS NULL")
_TRASHED = text("trashed_at IS NOT NULL")


def _live(name: str, *columns: str) -> Index:
    return Index(name, *columns, sqlite_where=_LIVE, postgresql_where=_LIVE)


def _trashed(name: str, *columns: str) -> Index:
    return Index(name, *columns, sqlite_where=_TRASHED, postgresql_where=_TRASHED)


class Job(Base):
    """A training job: the spec as submitted, its frozen resolution, and its current state."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("(state = 'running') = (lease_expires_at IS NOT NULL)", name="lease"),
        CheckConstraint("state = 'running' OR phase IS NULL", name="phase_while_running"),
        CheckConstraint(
            "request IS NULL OR state = 'running' OR (state = 'queued' AND request = 'stop')",
            name="request_while_running",
        ),
        _live("ix_jobs_listed", "project_id", "created_at", "id"),
        _live("ix_jobs_listed_state", "project_id", "state", "created_at", "id"),
        _live("ix_jobs_listed_model", "project_id", "model", "created_at", "id"),
        _live("ix_jobs_listed_task", "project_id", "task", "created_at", "id"),
        _live("ix_jobs_listed_queue", "project_id", "queue", "created_at", "id"),
        _live("ix_jobs_listed_dataset", "project_id", "dataset_id", "created_at", "id"),
        _live("ix_jobs_listed_ended", "project_id", "state", "ended_at", "id"),
        _live("ix_jobs_listed_name", "project_id", "state", "name", "id"),
        _live("ix_jobs_listed_dataset_best", "project_id", "dataset_id", "best_rank", "id"),
        _live("ix_jobs_listed_metric_best", "project_id", "best_metric", "best_rank", "id"),
        _trashed("ix_jobs_trashed_created", "project_id", "created_at", "id"),
        _trashed("ix_jobs_trashed_ended", "project_id", "ended_at", "id"),
        _trashed("ix_jobs_trashed_name", "project_id", "name", "id"),
        _trashed("ix_jobs_trashed_best", "project_id", "best_rank", "id"),
        Index("ix_jobs_dataset_id_id", "dataset_id", "id"),
        Index("ix_jobs_dataset_version_id_id", "dataset_version_id", "id"),
        Index("ix_jobs_parent_id_id", "parent_id", "id"),
        Index(
            "ix_jobs_waiting",
            "queue",
            "priority",
            "project_id",
            "owner_id",
            "id",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        Index(
            "ix_jobs_running",
            "worker_id",
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
        Index(
            "ix_jobs_trashed",
            "trashed_at",
            sqlite_where=text("trashed_at IS NOT NULL"),
            postgresql_where=text("trashed_at IS NOT NULL"),
        ),
        Index("ix_jobs_alike", "architecture", "imgsz", "device_name", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    parent_id: Mapped[str | None] = mapped_column(
        ForeignKey("jobs.id"), doc="also null after the parent was deleted"
    )
    name: Mapped[str] = mapped_column(byte_ordered(200), doc="empty: no name")
    notes: Mapped[str] = mapped_column(Text)
    state: Mapped[JobState] = mapped_column(checked_enum(JobState, "state"))
    phase: Mapped[Phase | None] = mapped_column(checked_enum(Phase, "phase"))
    request: Mapped[Request | None] = mapped_column(checked_enum(Request, "request"))
    requested_by: Mapped[dict[str, str] | None] = mapped_column(
        OrderedJson, doc="who made the pending request; null: nobody, or an earlier release"
    )
    queue: Mapped[str] = mapped_column(String(64))
    gpus: Mapped[int | None] = mapped_column(doc="null: any slot; 0: a CPU slot; n: n GPUs")
    priority: Mapped[int] = mapped_column(doc="higher runs first")
    not_before_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="back-off")
    attempt: Mapped[int] = mapped_column(doc="claims so far; the fencing token of a worker")
    restarts: Mapped[int] = mapped_column(doc="counted retryable ends since the last new epoch")
    max_restarts: Mapped[int]
    timeout_seconds: Mapped[float | None] = mapped_column(doc="limit of running time; null: none")
    ran_seconds: Mapped[float] = mapped_column(
        doc="running time of the attempts that have ended since the last retry"
    )
    earlier_seconds: Mapped[float] = mapped_column(
        server_default="0", doc="running time of the attempts before the last retry"
    )
    worker_id: Mapped[str | None] = mapped_column(String(40), doc="the slot of the last claim")
    lease_expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="by database clock")
    dispatch_seq: Mapped[int] = mapped_column(doc="doorbells rung; an older bell is stale")
    dispatched_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_seq: Mapped[int] = mapped_column(doc="seq of the newest event")
    last_write: Mapped[int | None] = mapped_column(
        BigInteger, doc="mark of the attempt's newest write; a repeated write is recognized by it"
    )
    revision: Mapped[int] = mapped_column(
        doc="increases with each user edit; compared with If-Match"
    )
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    dataset_version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id"))
    model: Mapped[str] = mapped_column(String(200), doc="as given in the spec")
    model_sha256: Mapped[str | None] = mapped_column(
        String(64), index=True, doc="weights to start from, hex"
    )
    task: Mapped[str] = mapped_column(String(20))
    architecture: Mapped[str | None] = mapped_column(
        String(100), doc="the shipped yaml of the model, for example yolo26n.yaml; null: another"
    )
    imgsz: Mapped[int | None] = mapped_column(doc="image side in pixels, as in the spec")
    trainer: Mapped[str | None] = mapped_column(
        String(100), doc="the trainer plugin that a slot must have; null: none"
    )
    device_name: Mapped[str | None] = mapped_column(
        String(200), doc="device of the last attempt: cpu, or the GPU's product name"
    )
    spec: Mapped[dict[str, Any]] = mapped_column(OrderedJson, doc="as submitted")
    resolved_spec: Mapped[dict[str, Any]] = mapped_column(OrderedJson, doc="frozen at submit")
    spec_version: Mapped[int]
    estimated_seconds: Mapped[float | None] = mapped_column(
        doc="duration as the plan estimated it; null: no estimate"
    )
    threads: Mapped[int | None] = mapped_column(doc="CPU threads, frozen at the first attempt")
    best_epoch: Mapped[int | None]
    best_metric: Mapped[str | None] = mapped_column(String(100))
    best_value: Mapped[float | None]
    best_rank: Mapped[float | None] = mapped_column(
        doc="the best value, negated where lower is better: a higher rank is a better job"
    )
    best_at: Mapped[dict[str, Any] | None] = mapped_column(
        OrderedJson,
        doc="`epoch`, `metrics` and the metric's `direction` when best_epoch was written; of no "
        "use if its epoch is another one, which an earlier release wrote",
    )
    curve: Mapped[list[float | None] | None] = mapped_column(
        OrderedJson, doc="best metric over epochs, at most 40 points, for lists"
    )
    end_reason: Mapped[EndReason | None] = mapped_column(checked_enum(EndReason, "end_reason"))
    error_message: Mapped[str | None] = mapped_column(Text)
    error_hint: Mapped[str | None] = mapped_column(Text)
    error_amended: Mapped[dict[str, Any] | None] = mapped_column(
        OrderedJson, doc="merge patch of the spec as submitted that avoids the failure"
    )
    error_log_line: Mapped[int | None] = mapped_column(
        doc="line of the last attempt's log that tells the failure, from 1; null: unknown"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, doc="start of the first attempt"
    )
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    trashed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Joint(Base):
    """The parent epoch that this job continues from, and the parent's best epoch up to there."""

    __tablename__ = "joints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(
        doc="epoch of the parent's state, from 1; this job trains from the next one"
    )
    best_epoch: Mapped[int | None] = mapped_column(doc="epoch of the best.pt that was taken over")
    best_value: Mapped[float | None] = mapped_column(doc="null: not finite, or no longer known")


class JobPlan(Base):
    """The plan that was made when the job was submitted."""

    __tablename__ = "job_plans"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    plan: Mapped[dict[str, Any]] = mapped_column(OrderedJson)


class JobTag(Base):
    """A tag of a job: a key and a value."""

    __tablename__ = "job_tags"
    __table_args__ = (Index("ix_job_tags_key_value", "key", "value", "job_id"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(256))


class JobWord(Base):
    """A word of a job's name, by which a search finds it (`app.core.words`)."""

    __tablename__ = "job_words"
    __table_args__ = (Index("ix_job_words_word", "project_id", "word", "job_id"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    word: Mapped[str] = mapped_column(byte_ordered(64), primary_key=True, doc="folded")
    project_id: Mapped[str] = mapped_column(String(40), doc="the job's")


class JobProgress(Base):
    """Progress of the running attempt, written at most once a second."""

    __tablename__ = "job_progress"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(doc="the current epoch, from 1")
    epochs: Mapped[int] = mapped_column(doc="the last epoch as far as the trainer knows")
    batch: Mapped[int] = mapped_column(doc="finished batches of this epoch")
    batches: Mapped[int]
    losses: Mapped[dict[str, float | None]] = mapped_column(OrderedJson, doc="running means")
    eta_seconds: Mapped[float | None]
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Attempt(Base):
    """One claim of a job by a worker, and how it ended."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index(
            "uq_attempts_open",
            "job_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worker_id: Mapped[str] = mapped_column(String(40))
    worker_name: Mapped[str | None] = mapped_column(
        String(300), doc="host and slot at the claim: gpu-a/0; null: not known"
    )
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end_reason: Mapped[EndReason | None] = mapped_column(checked_enum(EndReason, "end_reason"))
    exit_code: Mapped[int | None] = mapped_column(
        doc="negative: number of the signal that killed it"
    )
    message: Mapped[str | None] = mapped_column(Text)
    resumed: Mapped[str] = mapped_column(String(10), doc="none | exact | plain")
    resumed_from: Mapped[int | None] = mapped_column(doc="the epoch after which it resumed")
    first_epoch: Mapped[int | None] = mapped_column(doc="the first epoch that it trains")
    last_epoch: Mapped[int | None] = mapped_column(
        doc="the last epoch that it finished; null while it is open, or if it finished none"
    )
    actor: Mapped[dict[str, str] | None] = mapped_column(
        OrderedJson, doc="who ended it by a pause, a stop or a cancel; null: no person"
    )


class Epoch(Base):
    """One finished epoch. The attempt that finished it writes the row once."""

    __tablename__ = "epochs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, doc="from 1")
    attempt: Mapped[int]
    metrics: Mapped[dict[str, float | None]] = mapped_column(
        OrderedJson, doc="the columns of results.csv except epoch and time; null: not finite"
    )
    lr: Mapped[dict[str, float | None]] = mapped_column(
        OrderedJson, doc="named rates: lr/<part>/<group>"
    )
    system: Mapped[dict[str, float | None]] = mapped_column(OrderedJson)
    duration_seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class EpochClasses(Base):
    """Per-class metrics of one epoch, as compressed columns."""

    __tablename__ = "epoch_classes"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    columns: Mapped[bytes] = mapped_column(
        LargeBinary, doc="zlib over JSON: column name to one value per class of the dataset"
    )


class LogChunk(Base):
    """A piece of a running attempt's log. At its end all pieces become `train.log`."""

    __tablename__ = "log_chunks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    offset: Mapped[int] = mapped_column(
        BigInteger,
        primary_key=True,
        autoincrement=False,
        doc="number of bytes before it in the attempt",
    )
    bytes: Mapped[bytes] = mapped_column(LargeBinary)


class IdempotencyKey(Base):
    """A key of a finished submit. The same key and body return the same job."""

    __tablename__ = "idempotency_keys"

    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
