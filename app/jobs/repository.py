"""Reading jobs and their records for callers. Every query is scoped by the caller's projects.

`visible_x` raises `JobNotFound`, `x_of` returns None.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
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
    union_all,
    update,
)
from sqlalchemy.orm import Session, defer

from app.core.database import database_now
from app.core.words import words_of
from app.jobs.errors import JobNotFound
from app.jobs.locks import lock_job
from app.jobs.states import JobState
from app.jobs.tables import Attempt, Job, JobPlan, JobTag, JobWord
from app.quotas.lanes import LaneKey, jobs_before, lanes_before
from app.quotas.tables import Lane

MAX_POSITION = 1000
LISTED = tuple(defer(column, raiseload=True) for column in (Job.spec, Job.resolved_spec, Job.notes))
"""Lists leave out the long columns of a job."""


# Built once: building these statements takes longer than running them, and every submit and poll
# runs them.
_JOBS = cast("Table", Job.__table__)
_INSERT_JOB = (
    insert(_JOBS)
    .values(dispatched_at=database_now(), created_at=database_now())
    .returning(_JOBS.c.dispatched_at, _JOBS.c.created_at)
)
_INSERT_PLAN = insert(cast("Table", JobPlan.__table__))
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
        "earlier_seconds": 0.0,
        "dispatch_seq": 1,
        "last_seq": 1,
        "revision": 1,
        **values,
    }
    now = session.connection().execute(_INSERT_JOB, columns).one()
    job = Job(**columns, dispatched_at=now.dispatched_at, created_at=now.created_at)
    _insert_tags(session, job.id, tags)
    _insert_words(session, job, job.name)
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
    in_lane: int = session.connection().execute(_BEFORE_IN_LANE, place).scalar_one()
    lanes = lanes_before(session, lane, limit=MAX_POSITION)
    return min(jobs_before(lanes, lane, in_lane), MAX_POSITION) + 1


def queue_counts(
    session: Session, project_ids: Collection[str]
) -> Sequence[tuple[str, JobState, int]]:
    """Return queue, state and number of the waiting and running jobs.

    Waiting ones, which may be very many, are counted in their lanes.
    """
    # Literals: with parameters SQLite does not use the partial indexes.
    waiting = (
        select(Lane.queue, literal(JobState.QUEUED.value), func.sum(Lane.waiting))
        .where(Lane.project_id.in_(project_ids), Lane.waiting > literal(0, literal_execute=True))
        .group_by(Lane.queue)
    )
    runs = Job.state == literal(JobState.RUNNING, Job.state.type, literal_execute=True)
    running = (
        select(Job.queue, literal(JobState.RUNNING.value), func.count())
        .where(*_visible(project_ids), runs)
        .group_by(Job.queue)
    )
    found = session.execute(union_all(waiting, running))
    return [(queue, JobState(state), int(count)) for queue, state, count in found]


def edit_job(
    session: Session, job: Job, values: Mapping[str, Any], tags: Mapping[str, str] | None
) -> None:
    """Change user-editable fields of a locked job, and increment its revision."""
    session.execute(update(Job).where(Job.id == job.id).values(revision=Job.revision + 1, **values))
    if "name" in values:
        session.execute(delete(JobWord).where(JobWord.job_id == job.id))
        _insert_words(session, job, values["name"])
    if tags is not None:
        session.execute(delete(JobTag).where(JobTag.job_id == job.id))
        _insert_tags(session, job.id, tags)


def attempts_of(session: Session, job_id: str) -> Sequence[Attempt]:
    """Return a visible job's attempts, in order."""
    return session.scalars(
        select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)
    ).all()


def _visible(project_ids: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return (Job.project_id.in_(project_ids),)


def _insert_tags(session: Session, job_id: str, tags: Mapping[str, str]) -> None:
    if tags:
        rows = [{"job_id": job_id, "key": key, "value": value} for key, value in tags.items()]
        session.execute(insert(JobTag), rows)


def _insert_words(session: Session, job: Job, name: str) -> None:
    words = sorted(words_of(name))
    if words:
        rows = [{"job_id": job.id, "word": word, "project_id": job.project_id} for word in words]
        session.execute(insert(JobWord), rows)
