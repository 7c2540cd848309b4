"""Jobs with what other tables say about them, as in a list or a status.

Every query is scoped by the caller's projects. A page takes the same number of statements for any
number of jobs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Row, Select, Text, and_, bindparam, cast, select
from sqlalchemy.orm import Session, defer

from app.accounts.tables import User
from app.artifacts.repository import resume_epoch_of
from app.core.database import database_now
from app.datasets.tables import Dataset
from app.jobs.errors import JobNotFound
from app.jobs.tables import Attempt, Job, JobProgress, JobTag


@dataclass(frozen=True)
class RelatedFacts:
    """What other rows say about a job.

    Args:
        dataset_name: the name of its dataset; None if that is gone.
        owner_name: the user who submitted it.
        slot_name: host and slot of the newest attempt; None if they are not known.
        first_epoch: the first epoch of the newest attempt; None before its trainer has started.
        open_seconds: how long the open attempt has been running; 0 without one.
    """

    dataset_name: str | None
    owner_name: str | None
    slot_name: str | None = None
    first_epoch: int | None = None
    open_seconds: float = 0.0

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """Return what the columns of `_RELATED` say."""
        is_open = row.attempt_started_at is not None and row.attempt_ended_at is None
        seconds = (row.now - row.attempt_started_at).total_seconds() if is_open else 0.0
        return cls(
            row.dataset_name, row.owner_name, row.slot_name, row.first_epoch, max(0.0, seconds)
        )


@dataclass(frozen=True)
class ListedJob:
    """A job with its progress, its tags and what other rows say about it.

    `resume_epoch` is the epoch after which it would resume; it is not read for a list.
    """

    job: Job
    progress: JobProgress | None
    tags: Mapping[str, str]
    related: RelatedFacts
    resume_epoch: int | None = None


@dataclass(frozen=True)
class JobStatus:
    """A job as in a status, with the JSON of its specs, which are not loaded with the job itself.

    Attributes:
        listed: the job.
        spec: as submitted.
        resolved_spec: as resolved.
    """

    listed: ListedJob
    spec: str
    resolved_spec: str


_RELATED = (
    Dataset.name.label("dataset_name"),
    User.name.label("owner_name"),
    Attempt.worker_name.label("slot_name"),
    Attempt.first_epoch.label("first_epoch"),
    Attempt.started_at.label("attempt_started_at"),
    Attempt.ended_at.label("attempt_ended_at"),
    database_now().label("now"),
)


def _joined(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Join the rows that `_RELATED` and the progress are read from, each by its key."""
    return (
        statement.select_from(Job)
        .outerjoin(JobProgress, JobProgress.job_id == Job.id)
        .outerjoin(Dataset, Dataset.id == Job.dataset_id)
        .outerjoin(User, User.id == Job.owner_id)
        .outerjoin(Attempt, and_(Attempt.job_id == Job.id, Attempt.number == Job.attempt))
    )


# Built once: building these statements takes longer than running them, and every poll runs them.
_VISIBLE = Job.project_id.in_(bindparam("project_ids", expanding=True))
_READ = (Job, JobProgress, resume_epoch_of(Job.id).label("resume_epoch"), *_RELATED)
_STATUS = _joined(select(*_READ)).where(_VISIBLE, Job.id == bindparam("job_id"))
_STATUSES = (
    _joined(
        select(
            *_READ,
            cast(Job.spec, Text).label("spec"),
            cast(Job.resolved_spec, Text).label("resolved_spec"),
        )
    )
    .options(defer(Job.spec, raiseload=True), defer(Job.resolved_spec, raiseload=True))
    .where(_VISIBLE, Job.id.in_(bindparam("job_ids", expanding=True)))
)
_RECORDS = _joined(select(Job.id, JobProgress, *_RELATED)).where(
    Job.id.in_(bindparam("job_ids", expanding=True))
)
_TAGS = (
    select(JobTag.job_id, JobTag.key, JobTag.value)
    .where(JobTag.job_id.in_(bindparam("job_ids", expanding=True)))
    .order_by(JobTag.key)
)


def visible_listed_job(session: Session, project_ids: Collection[str], job_id: str) -> ListedJob:
    """Return one job of the caller's projects as in a status.

    Raises:
        JobNotFound: the caller has no job with this id.
    """
    listed = listed_job_of(session, project_ids, job_id)
    if listed is None:
        raise JobNotFound
    return listed


def listed_job_of(session: Session, project_ids: Collection[str], job_id: str) -> ListedJob | None:
    """Return one job of the caller's projects as in a status, also one in the trash."""
    parameters = {"project_ids": list(project_ids), "job_id": job_id}
    row = session.execute(_STATUS, parameters).first()
    if row is None:
        return None
    return _listed(row, _tags_of(session, [job_id])[job_id])


def statuses_of(
    session: Session, project_ids: Collection[str], job_ids: Collection[str]
) -> dict[str, JobStatus]:
    """Return those of the jobs that are in the projects, by id, also those in the trash.

    Two statements.
    """
    parameters = {"project_ids": list(project_ids), "job_ids": list(job_ids)}
    rows = {row.Job.id: row for row in session.execute(_STATUSES, parameters)}
    tags = _tags_of(session, list(rows)) if rows else {}
    return {
        job_id: JobStatus(_listed(row, tags[job_id]), row.spec, row.resolved_spec)
        for job_id, row in rows.items()
    }


def with_records(
    session: Session, jobs: Sequence[Job], *, has_tags: bool = True
) -> list[ListedJob]:
    """Return the jobs as in a list: two more statements for all of them, or one without tags."""
    if not jobs:
        return []
    ids = [job.id for job in jobs]
    rows = {row.id: row for row in session.execute(_RECORDS, {"job_ids": ids})}
    tags = _tags_of(session, ids) if has_tags else {job_id: {} for job_id in ids}
    return [
        ListedJob(job, rows[job.id].JobProgress, tags[job.id], RelatedFacts.of(rows[job.id]))
        for job in jobs
    ]


def _listed(row: Row[Any], tags: Mapping[str, str]) -> ListedJob:
    return ListedJob(row.Job, row.JobProgress, tags, RelatedFacts.of(row), row.resume_epoch)


def _tags_of(session: Session, job_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    tags: dict[str, dict[str, str]] = {job_id: {} for job_id in job_ids}
    for job_id, key, value in session.execute(_TAGS, {"job_ids": job_ids}):
        tags[job_id][key] = value
    return tags
