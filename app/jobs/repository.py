"""Reading jobs and their records for callers. Every query is scoped by the caller's projects.

`visible_x` raises `JobNotFound`, `x_of` returns None.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session, defer

from app.artifacts.repository import resume_epoch_of
from app.core.database import database_now
from app.jobs.errors import JobNotFound
from app.jobs.locks import lock_job
from app.jobs.states import JobState
from app.jobs.tables import (
    Attempt,
    Epoch,
    Job,
    JobPlan,
    JobProgress,
    JobTag,
    LogChunk,
)
from app.quotas.lanes import LaneKey, jobs_before, lanes_before

MAX_POSITION = 1000
LISTED = tuple(defer(column, raiseload=True) for column in (Job.spec, Job.resolved_spec, Job.notes))
"""Lists leave out the long columns of a job."""


@dataclass(frozen=True)
class JobFilter:
    """The filters of a list. None and empty select every job outside of the trash."""

    states: tuple[JobState, ...] = ()
    dataset: str | None = None
    model: str | None = None
    task: str | None = None
    name_prefix: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    in_trash: bool = False


@dataclass(frozen=True)
class JobOrder:
    """A list's order: `created` (by id), `ended` (ended jobs only) or `name`."""

    key: str = "created"
    descending: bool = True

    def columns(self) -> list[Any]:
        """Return the columns of the order; the last one is unique."""
        first: dict[str, list[Any]] = {"created": [], "ended": [Job.ended_at], "name": [Job.name]}
        return [*first[self.key], Job.id]

    def position(self, job: Job) -> list[str | float | None]:
        """Return a job's position in this order, as JSON."""
        if self.key == "name":
            return [job.name, job.id]
        if self.key == "ended" and job.ended_at is not None:
            return [job.ended_at.isoformat(), job.id]
        return [job.id]

    def values(self, position: Sequence[str | float | None]) -> list[Any]:
        """Return the columns' values of a position in JSON."""
        values: list[Any] = list(position)
        if self.key == "ended":
            values[0] = datetime.fromisoformat(str(values[0]))
        return values


@dataclass(frozen=True)
class ListedJob:
    """A job with its progress and tags, as in a list or a status.

    `resume_epoch` is the epoch after which it would resume; it is not read for a list.
    """

    job: Job
    progress: JobProgress | None
    tags: Mapping[str, str]
    resume_epoch: int | None = None


# Built once: building these statements takes longer than running them, and every submit and poll
# runs them.
_JOBS = cast("Table", Job.__table__)
_INSERT_JOB = (
    insert(_JOBS)
    .values(dispatched_at=database_now(), created_at=database_now())
    .returning(_JOBS.c.dispatched_at, _JOBS.c.created_at)
)
_INSERT_PLAN = insert(cast("Table", JobPlan.__table__))
_STATUS = (
    select(Job, JobProgress, resume_epoch_of(Job.id).label("resume_epoch"))
    .outerjoin(JobProgress, JobProgress.job_id == Job.id)
    .where(
        Job.project_id.in_(bindparam("project_ids", expanding=True)),
        Job.id == bindparam("job_id"),
    )
)
_TAGS = (
    select(JobTag.key, JobTag.value)
    .where(JobTag.job_id == bindparam("job_id"))
    .order_by(JobTag.key)
)
_BEFORE_IN_LANE = select(func.count()).select_from(
    select(Job.id)
    .where(
        # A literal: with a parameter SQLite does not use the partial index.
        Job.state == literal(JobState.QUEUED, Job.state.type, literal_execute=True),
        Job.queue == bindparam("queue"),
        Job.priority == bindparam("priority"),
        Job.project_id == bindparam("project_id"),
        Job.owner_id == bindparam("owner_id"),
        Job.id < bindparam("job_id"),
    )
    .limit(MAX_POSITION)
    .subquery()
)


def insert_job(session: Session, values: Mapping[str, Any], tags: Mapping[str, str]) -> Job:
    """Insert a queued job. The caller rings the doorbell after the commit."""
    columns = {
        "state": JobState.QUEUED,
        "attempt": 0,
        "restarts": 0,
        "ran_seconds": 0.0,
        "dispatch_seq": 1,
        "last_seq": 1,
        "revision": 1,
        **values,
    }
    now = session.connection().execute(_INSERT_JOB, columns).one()
    job = Job(**columns, dispatched_at=now.dispatched_at, created_at=now.created_at)
    _insert_tags(session, job.id, tags)
    return job


def insert_plan(session: Session, job_id: str, plan: Mapping[str, Any]) -> None:
    """Store the plan of a job."""
    session.connection().execute(_INSERT_PLAN, {"job_id": job_id, "plan": dict(plan)})


def visible_job_and_plan(
    session: Session, project_ids: Collection[str], job_id: str
) -> tuple[Job, JobPlan | None]:
    """Return one job of the caller's projects with its plan; jobs older than plans have none.

    Raises:
        JobNotFound: the caller has no job with this id.
    """
    statement = (
        select(Job, JobPlan)
        .outerjoin(JobPlan, JobPlan.job_id == Job.id)
        .where(*_visible(project_ids), Job.id == job_id)
    )
    row = session.execute(statement).first()
    if row is None:
        raise JobNotFound
    return row.Job, row.JobPlan


def visible_job(session: Session, project_ids: Collection[str], job_id: str) -> Job:
    """Return one job of the caller's projects, also one in the trash.

    Raises:
        JobNotFound: the caller has no job with this id.
    """
    job = job_of(session, project_ids, job_id)
    if job is None:
        raise JobNotFound
    return job


def job_of(session: Session, project_ids: Collection[str], job_id: str) -> Job | None:
    """Return one job of the caller's projects, also one in the trash."""
    return session.scalars(select(Job).where(*_visible(project_ids), Job.id == job_id)).first()


def visible_listed_job(session: Session, project_ids: Collection[str], job_id: str) -> ListedJob:
    """Return one job of the caller's projects with its progress and tags.

    Raises:
        JobNotFound: the caller has no job with this id.
    """
    listed = listed_job_of(session, project_ids, job_id)
    if listed is None:
        raise JobNotFound
    return listed


def listed_job_of(session: Session, project_ids: Collection[str], job_id: str) -> ListedJob | None:
    """Return one job of the caller's projects with its progress and tags."""
    parameters = {"project_ids": list(project_ids), "job_id": job_id}
    row = session.execute(_STATUS, parameters).first()
    if row is None:
        return None
    tags = dict(session.execute(_TAGS, {"job_id": job_id}).all())
    return ListedJob(row.Job, row.JobProgress, tags, row.resume_epoch)


def lock_visible_job(session: Session, project_ids: Collection[str], job_id: str) -> Job:
    """Return one job of the caller's projects with its row locked.

    Raises:
        JobNotFound: the caller has no job with this id.
    """
    job = lock_job(session, *_visible(project_ids), Job.id == job_id)
    if job is None:
        raise JobNotFound
    return job


def is_in_grace(
    session: Session, project_ids: Collection[str], job_id: str, *, grace: timedelta
) -> bool:
    """Return whether a job was trashed within `grace`, by the database's clock."""
    statement = select(Job.id).where(
        *_visible(project_ids), Job.id == job_id, Job.trashed_at >= database_now(-grace)
    )
    return session.scalars(statement).first() is not None


def job_page(
    session: Session,
    project_ids: Collection[str],
    filters: JobFilter,
    *,
    order: JobOrder,
    after: Sequence[str | float | None] | None,
    limit: int,
) -> list[ListedJob]:
    """Return up to `limit` jobs after the position `after`, in order."""
    columns = order.columns()
    statement = select(Job).options(*LISTED).where(*_visible(project_ids), *_conditions(filters))
    if order.key == "ended":
        statement = statement.where(Job.ended_at.is_not(None))
    if after is not None:
        values = zip(columns, order.values(after), strict=True)
        here, there = tuple_(*columns), tuple_(*(literal(v, c.type) for c, v in values))
        statement = statement.where(here < there if order.descending else here > there)
    directed = [column.desc() if order.descending else column.asc() for column in columns]
    jobs = session.scalars(statement.order_by(*directed).limit(limit)).all()
    return _with_records(session, jobs)


def lane_of(job: Job) -> LaneKey:
    """Return the lane in which a job waits."""
    return LaneKey(job.queue, -job.priority, job.project_id, job.owner_id)


def queue_position(session: Session, job: Job) -> int:
    """Return a job's place in the order of claims, from 1, at most `MAX_POSITION` + 1.

    Jobs that can run on other slots only count too; those that a limit holds do not.
    """
    lane = lane_of(job)
    place = {
        "queue": job.queue,
        "priority": job.priority,
        "project_id": job.project_id,
        "owner_id": job.owner_id,
        "job_id": job.id,
    }
    in_lane = session.scalars(_BEFORE_IN_LANE, place).one()
    lanes = lanes_before(session, lane, limit=MAX_POSITION)
    return min(jobs_before(lanes, lane, in_lane), MAX_POSITION) + 1


def queue_counts(
    session: Session, project_ids: Collection[str]
) -> Sequence[tuple[str, JobState, int]]:
    """Return queue, state and number of the waiting and running jobs."""
    statement = (
        select(Job.queue, Job.state, func.count())
        .where(*_visible(project_ids), Job.state.in_([JobState.QUEUED, JobState.RUNNING]))
        .group_by(Job.queue, Job.state)
        .order_by(Job.queue)
    )
    return [(queue, state, count) for queue, state, count in session.execute(statement)]


def edit_job(
    session: Session, job: Job, values: Mapping[str, Any], tags: Mapping[str, str] | None
) -> None:
    """Change user-editable fields of a locked job, and increment its revision."""
    session.execute(update(Job).where(Job.id == job.id).values(revision=Job.revision + 1, **values))
    if tags is not None:
        session.execute(delete(JobTag).where(JobTag.job_id == job.id))
        _insert_tags(session, job.id, tags)


def epochs_after(session: Session, job_id: str, *, epoch: int) -> Sequence[Epoch]:
    """Return a visible job's finished epochs after `epoch`, in order."""
    statement = select(Epoch).where(Epoch.job_id == job_id, Epoch.epoch > epoch)
    return session.scalars(statement.order_by(Epoch.epoch)).all()


def attempts_of(session: Session, job_id: str) -> Sequence[Attempt]:
    """Return a visible job's attempts, in order."""
    return session.scalars(
        select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)
    ).all()


def log_size(session: Session, job_id: str, attempt: int) -> int:
    """Return the current size in bytes of a running attempt's stored log."""
    statement = (
        select(LogChunk.offset + func.length(LogChunk.bytes))
        .where(LogChunk.job_id == job_id, LogChunk.attempt == attempt)
        .order_by(LogChunk.offset.desc())
        .limit(1)
    )
    return session.scalars(statement).first() or 0


def log_bytes(session: Session, job_id: str, attempt: int, *, start: int, length: int) -> bytes:
    """Return a part of a running attempt's log."""
    statement = (
        select(LogChunk.offset, LogChunk.bytes)
        .where(
            LogChunk.job_id == job_id,
            LogChunk.attempt == attempt,
            LogChunk.offset < start + length,
            LogChunk.offset + func.length(LogChunk.bytes) > start,
        )
        .order_by(LogChunk.offset)
    )
    chunks = session.execute(statement).all()
    if not chunks:
        return b""
    skipped = start - chunks[0].offset
    return b"".join(bytes(chunk.bytes) for chunk in chunks)[skipped : skipped + length]


def _visible(project_ids: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return (Job.project_id.in_(project_ids),)


def _conditions(filters: JobFilter) -> list[ColumnElement[bool]]:
    trashed = Job.trashed_at.is_not(None) if filters.in_trash else Job.trashed_at.is_(None)
    clauses: list[ColumnElement[bool]] = [trashed]
    if filters.states:
        clauses.append(Job.state.in_(filters.states))
    if filters.dataset is not None:
        is_version = filters.dataset.startswith("dsv_")
        column = Job.dataset_version_id if is_version else Job.dataset_id
        clauses.append(column == filters.dataset)
    if filters.model is not None:
        clauses.append(Job.model == filters.model)
    if filters.task is not None:
        clauses.append(Job.task == filters.task)
    if filters.name_prefix is not None:
        # LIKE ignores case on SQLite but not on PostgreSQL.
        prefix = filters.name_prefix
        clauses.append(func.substr(Job.name, 1, len(prefix)) == prefix)
    for key, value in filters.tags:
        tagged = select(JobTag.job_id).where(JobTag.key == key, JobTag.value == value)
        clauses.append(Job.id.in_(tagged))
    return clauses


def _with_records(session: Session, jobs: Sequence[Job]) -> list[ListedJob]:
    ids = [job.id for job in jobs]
    progress = {
        row.job_id: row
        for row in session.scalars(select(JobProgress).where(JobProgress.job_id.in_(ids)))
    }
    tags: dict[str, dict[str, str]] = {job_id: {} for job_id in ids}
    by_key = select(JobTag).where(JobTag.job_id.in_(ids)).order_by(JobTag.key)
    for tag in session.scalars(by_key):
        tags[tag.job_id][tag.key] = tag.value
    return [ListedJob(job, progress.get(job.id), tags[job.id]) for job in jobs]


def _insert_tags(session: Session, job_id: str, tags: Mapping[str, str]) -> None:
    if tags:
        rows = [{"job_id": job_id, "key": key, "value": value} for key, value in tags.items()]
        session.execute(insert(JobTag), rows)
