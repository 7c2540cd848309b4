"""What a stream reads beside the log: running jobs, slots, queues and running verifications."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from app.accounts.tables import Project
from app.core.database import database_now
from app.datasets.tables import Dataset, DatasetVersion, VersionState
from app.fleet.tables import Worker
from app.jobs.states import JobState, Phase
from app.jobs.tables import Job, JobProgress, LogChunk
from app.quotas.tables import Lane


class RunningRow(NamedTuple):
    """A running job; the columns of its progress are null until a batch has ended."""

    id: str
    project_id: str
    queue: str
    worker_id: str | None
    phase: Phase | None
    epoch: int | None
    epochs: int | None
    batch: int | None
    batches: int | None
    losses: dict[str, float | None] | None
    eta_seconds: float | None
    log_bytes: int | None


class SlotRow(NamedTuple):
    """A slot, whether its process was stopped, and whether its last heartbeat is recent."""

    id: str
    is_stopped: bool
    is_recent: bool


class LaneRow(NamedTuple):
    """The number of waiting jobs of a project in a queue."""

    project_id: str
    queue: str
    waiting: int


class VerifyingRow(NamedTuple):
    """A version that waits for its verification, or is being verified."""

    id: str
    dataset_id: str
    project_id: str
    progress: dict[str, Any] | None


class StateRows(NamedTuple):
    """The current state of what runs and waits."""

    running: Sequence[RunningRow]
    slots: Sequence[SlotRow]
    lanes: Sequence[LaneRow]
    verifying: Sequence[VerifyingRow]


_LOG_BYTES: Final = (
    select(LogChunk.offset + func.length(LogChunk.bytes))
    .where(LogChunk.job_id == Job.id, LogChunk.attempt == Job.attempt)
    .order_by(LogChunk.offset.desc())
    .limit(1)
    .scalar_subquery()
)
# Built once: building a statement takes longer than running it.
_RUNNING: Final = (
    select(
        Job.id,
        Job.project_id,
        Job.queue,
        Job.worker_id,
        Job.phase,
        JobProgress.epoch,
        JobProgress.epochs,
        JobProgress.batch,
        JobProgress.batches,
        JobProgress.losses,
        JobProgress.eta_seconds,
        _LOG_BYTES,
    )
    .outerjoin(JobProgress, JobProgress.job_id == Job.id)
    # A literal: with a parameter SQLite does not use the partial index.
    .where(Job.state == literal(JobState.RUNNING, Job.state.type, literal_execute=True))
)
_LANES: Final = (
    select(Lane.project_id, Lane.queue, func.sum(Lane.waiting))
    .where(Lane.waiting > literal(0, literal_execute=True))
    .group_by(Lane.project_id, Lane.queue)
)
_VERIFYING: Final = (
    select(
        DatasetVersion.id, DatasetVersion.dataset_id, Dataset.project_id, DatasetVersion.progress
    )
    .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
    .where(DatasetVersion.state == VersionState.VALIDATING)
)


def current_state(session: Session, *, silent: timedelta) -> StateRows:
    """Return what runs and waits in all projects. Four statements.

    Args:
        session: to read with.
        silent: the age of a heartbeat from which a slot counts as silent.
    """
    is_recent = Worker.heartbeat_at > database_now(-silent)
    slots = select(Worker.id, Worker.stopped_at.is_not(None), is_recent).order_by(Worker.id)
    return StateRows(
        running=[RunningRow._make(row) for row in session.execute(_RUNNING)],
        slots=[SlotRow(*row) for row in session.execute(slots)],
        lanes=[LaneRow(*row) for row in session.execute(_LANES)],
        verifying=[VerifyingRow(*row) for row in session.execute(_VERIFYING)],
    )


def project_names(session: Session, project_ids: Collection[str]) -> dict[str, str]:
    """Return the names of projects by id; deleted ones are left out."""
    found = session.execute(select(Project.id, Project.name).where(Project.id.in_(project_ids)))
    return {row[0]: row[1] for row in found}
