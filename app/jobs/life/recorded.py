"""What the rows of a held job say that each of its epochs changes.

While a hold is valid, only its attempt changes them. So an attempt reads them once, before its
first epoch, and knows afterwards what it has written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.artifacts.repository import CheckpointRow, checkpoint_rows
from app.jobs.locks import Hold
from app.jobs.tables import Epoch, Job, JobProgress

Curve = Sequence[float | None]


@dataclass(frozen=True)
class RecordedRows:
    """The rows as an attempt has left them.

    Args:
        epoch: the newest epoch that this attempt has written; 0: none.
        progress_epoch: the epoch whose batches the progress row shows; None: there is no such row.
        curve: the points of the curve in lists.
        checkpoints: the rows of the job's checkpoints.
    """

    epoch: int
    progress_epoch: int | None
    curve: Curve
    checkpoints: Sequence[CheckpointRow]


def recorded_of(session: Session, hold: Hold) -> RecordedRows:
    """Read the rows of a held job."""
    newest = (
        select(func.max(Epoch.epoch))
        .where(Epoch.job_id == hold.job_id, Epoch.attempt == hold.attempt)
        .scalar_subquery()
    )
    epoch, progress_epoch, curve = session.execute(
        select(newest, JobProgress.epoch, Job.curve)
        .join_from(Job, JobProgress, JobProgress.job_id == Job.id, isouter=True)
        .where(Job.id == hold.job_id)
    ).one()
    checkpoints = checkpoint_rows(session, hold.job_id)
    return RecordedRows(epoch or 0, progress_epoch, curve or (), checkpoints)
