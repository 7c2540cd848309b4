"""The places of several waiting jobs in the order of claims, and the limits that hold them.

A page of a list takes three statements with `lanes_around`, however many of its jobs wait. None
reads more than `MAX_POSITION` jobs of a lane. `app.jobs.repository.queue_position` and
`app.quotas.lanes.limit_that_holds` answer the same for one job.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.orm import Session, aliased

from app.jobs.repository import MAX_POSITION, lane_of
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.lanes import LaneKey, WaitingLane, jobs_before, lanes_of_queues, subjects_at_limit


@dataclass(frozen=True)
class Place:
    """The place of a waiting job: from 1, at most `MAX_POSITION` + 1; and what limit holds it."""

    position: int
    limit: str | None


_BEFORE = aliased(Job)
_BEFORE_IN_LANES = select(
    Job.id,
    select(func.count())
    .select_from(
        select(_BEFORE.id)
        .where(
            # A literal: with a parameter SQLite does not use the partial index.
            _BEFORE.state == literal(JobState.QUEUED, Job.state.type, literal_execute=True),
            _BEFORE.queue == Job.queue,
            _BEFORE.priority == Job.priority,
            _BEFORE.project_id == Job.project_id,
            _BEFORE.owner_id == Job.owner_id,
            _BEFORE.id < Job.id,
        )
        .correlate(Job)
        .limit(MAX_POSITION)
        .subquery()
    )
    .correlate(Job)
    .scalar_subquery(),
).where(Job.id.in_(bindparam("job_ids", expanding=True)))


LanesByQueue = Mapping[str, Sequence[WaitingLane]]
"""The lanes of queues, in turn."""


def lanes_around(session: Session, waiting: Sequence[Job]) -> LanesByQueue:
    """Return the lanes of the queues in which these jobs wait."""
    queues, project_ids = {job.queue for job in waiting}, {job.project_id for job in waiting}
    return lanes_of_queues(session, queues, project_ids, limit=MAX_POSITION)


def places_of(session: Session, waiting: Sequence[Job], lanes: LanesByQueue) -> dict[str, Place]:
    """Return the place of each of these waiting jobs, by id; `lanes` are those around them."""
    if not waiting:
        return {}
    ids = {"job_ids": [job.id for job in waiting]}
    before: dict[str, int] = dict(session.execute(_BEFORE_IN_LANES, ids).all())
    subjects = {it for job in waiting for it in (job.project_id, job.owner_id)}
    held = subjects_at_limit(session, subjects)
    return {
        job.id: Place(
            position=_position(lanes[job.queue], lane_of(job), before.get(job.id, 0)),
            limit=_limit(job, held),
        )
        for job in waiting
    }


def _position(lanes: Sequence[WaitingLane], own: LaneKey, in_lane: int) -> int:
    ahead = [
        lane for lane in lanes if lane.key == own or (lane.key.rank <= own.rank and lane.may_run)
    ]
    return min(jobs_before(ahead, own, in_lane), MAX_POSITION) + 1


def _limit(job: Job, held: Collection[str]) -> str | None:
    if job.project_id in held:
        return "project_running_limit"
    return "user_running_limit" if job.owner_id in held else None
