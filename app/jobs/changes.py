"""What a request that waits for a job compares: one small read for all jobs that are waited for."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.jobs.states import JobState, Phase
from app.jobs.tables import Job, JobProgress


@dataclass(frozen=True)
class JobMark:
    """A moment of a job: marks of one job are equal as long as its status is."""

    state: JobState
    revision: int
    last_seq: int
    phase: Phase | None
    progress_at: datetime | None

    @classmethod
    def of(cls, job: Job, progress: JobProgress | None) -> "JobMark":
        """Return the mark of a job that was read."""
        progress_at = progress.updated_at if progress else None
        return cls(job.state, job.revision, job.last_seq, job.phase, progress_at)


def marks_of(session: Session, job_ids: Collection[str]) -> dict[str, JobMark]:
    """Return the marks of these jobs by id; a job that is gone has none."""
    statement = (
        select(Job.id, Job.state, Job.revision, Job.last_seq, Job.phase, JobProgress.updated_at)
        .outerjoin(JobProgress, JobProgress.job_id == Job.id)
        .where(Job.id.in_(job_ids))
    )
    return {
        row.id: JobMark(row.state, row.revision, row.last_seq, row.phase, row.updated_at)
        for row in session.execute(statement)
    }
