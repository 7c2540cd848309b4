"""The order in which waiting jobs are claimed: priority, then projects in turn, then users in turn.

A lane holds the waiting jobs of one user in one project, queue and priority. A claim takes the
first lane of the index that has a job for the slot. Its project, and in it its user, then come last
among those of the same queue and priority.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    not_,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.orm import Session, aliased

from app.quotas.tables import Lane, Usage

PROJECT, USER = aliased(Usage, name="of_project"), aliased(Usage, name="of_user")
IN_TURN: Final = (Lane.rank, Lane.turn, Lane.own_turn, Lane.opened_with)
"""The order of lanes in a queue, which is that of the index `ix_lanes_waiting`."""


@dataclass(frozen=True)
class LaneKey:
    """The primary key of a lane."""

    queue: str
    rank: int
    project_id: str
    owner_id: str


def lanes_in_turn(queues: Collection[str]) -> Select[str, int, str, str]:
    """Return the keys of the lanes with waiting jobs whose project and user may run one more."""
    in_queues = (
        Lane.queue == next(iter(queues)) if len(queues) == 1 else Lane.queue.in_(sorted(queues))
    )
    return (
        select(Lane.queue, Lane.rank, Lane.project_id, Lane.owner_id)
        .join(PROJECT, PROJECT.subject_id == Lane.project_id)
        .join(USER, USER.subject_id == Lane.owner_id)
        .where(in_queues, Lane.waiting > 0, may_run_more(PROJECT), may_run_more(USER))
        .order_by(*IN_TURN)
    )


def may_run_more(usage: type[Usage]) -> ColumnElement[bool]:
    """Return the SQL condition that a project or user has not reached its limit of running jobs."""
    return or_(usage.max_running_jobs.is_(None), usage.running_jobs < usage.max_running_jobs)


def other_than(tried: Collection[LaneKey]) -> ColumnElement[bool]:
    """Return the SQL condition that a lane is not in `tried`."""
    key = tuple_(Lane.queue, Lane.rank, Lane.project_id, Lane.owner_id)
    return key.not_in([(it.queue, it.rank, it.project_id, it.owner_id) for it in tried])


_MAY_RUN: Final = and_(may_run_more(PROJECT), may_run_more(USER))


# Built once for a kind of slot: every claim runs it.
@lru_cache(maxsize=64)
def _ending_turn(queues: tuple[str, ...]) -> Update:
    others = aliased(Lane)
    turns = union_all(
        *(
            select(func.max(others.turn).label("turn")).where(
                others.queue == queue, others.rank == bindparam("at_rank")
            )
            for queue in queues
        )
    ).subquery()
    newest = select(func.coalesce(func.max(turns.c.turn), 0) + 1).scalar_subquery()
    return (
        update(Lane)
        .where(
            Lane.queue == bindparam("in_queue"),
            Lane.rank == bindparam("at_rank"),
            Lane.project_id == bindparam("of_project_id"),
        )
        .values(
            turn=newest,
            own_turn=case((Lane.owner_id == bindparam("of_owner_id"), newest), else_=Lane.own_turn),
        )
        .execution_options(synchronize_session=False)
    )


def end_turn(session: Session, lane: LaneKey, queues: Collection[str]) -> None:
    """Put the project of a lane, and in it the user, behind all others of the queue and rank.

    A slot compares the turns of all its `queues`, so the project comes behind those of each: turns
    of a busy queue are great numbers, and would otherwise always come after those of a quiet one.
    """
    key = {
        "in_queue": lane.queue,
        "at_rank": lane.rank,
        "of_project_id": lane.project_id,
        "of_owner_id": lane.owner_id,
    }
    session.connection().execute(_ending_turn(tuple(sorted({lane.queue, *queues}))), key)


# Built once: every submit and every status of a waiting job runs these, and building them takes
# longer than running them.
_LIMITS = (
    select(may_run_more(PROJECT), may_run_more(USER))
    .join_from(PROJECT, USER, USER.subject_id == bindparam("owner_id"))
    .where(PROJECT.subject_id == bindparam("project_id"))
)
_IS_OWN = tuple_(Lane.queue, Lane.rank, Lane.project_id, Lane.owner_id) == tuple_(
    *(bindparam(name) for name in ("queue", "rank", "project_id", "owner_id"))
)
_LANES_BEFORE = (
    select(Lane.queue, Lane.rank, Lane.project_id, Lane.owner_id, Lane.waiting)
    .join(PROJECT, PROJECT.subject_id == Lane.project_id)
    .join(USER, USER.subject_id == Lane.owner_id)
    .where(
        Lane.queue == bindparam("queue"),
        Lane.rank <= bindparam("rank"),
        Lane.waiting > 0,
        or_(_IS_OWN, _MAY_RUN),
    )
    .order_by(*IN_TURN)
    .limit(bindparam("limit"))
)


def limit_that_holds(session: Session, lane: LaneKey) -> str | None:
    """Return the limit that keeps all jobs of a lane waiting, or None."""
    found = session.connection().execute(_LIMITS, vars(lane)).one_or_none()
    return None if found is None else _limit_of(project=found[0], user=found[1])


@dataclass(frozen=True)
class WaitingLane:
    """A lane that has waiting jobs, their number, and the limit that holds all of them, if any."""

    key: LaneKey
    waiting: int
    limit: str | None = None

    @property
    def may_run(self) -> bool:
        """Whether the limits let one of the jobs run."""
        return self.limit is None


def lanes_before(session: Session, own: LaneKey, *, limit: int) -> list[WaitingLane]:
    """Return the lanes that jobs of `own` may wait for, and `own`, in turn; at most `limit`."""
    parameters = {**vars(own), "limit": limit}
    rows = session.connection().execute(_LANES_BEFORE, parameters)
    return [WaitingLane(LaneKey(*row[:4]), row.waiting) for row in rows]


def lanes_of_queues(
    session: Session, queues: Collection[str], project_ids: Collection[str], *, limit: int
) -> dict[str, list[WaitingLane]]:
    """Return the lanes of several queues, in turn; of those that a limit holds, some projects'.

    One statement.

    Args:
        session: session to read with.
        queues: names of queues.
        project_ids: the projects whose lanes are returned also if a limit holds them.
        limit: of the lanes of each queue that no limit holds, and of all that one holds.
    """
    parameters: dict[str, object] = {
        f"queue_{number}": queue for number, queue in enumerate(sorted(queues))
    }
    parameters |= {"queues": sorted(queues), "project_ids": sorted(project_ids)}
    found: dict[str, list[WaitingLane]] = {queue: [] for queue in queues}
    for row in session.execute(_first_lanes(len(queues), limit), parameters):
        held_by = _limit_of(project=row.project_may_run, user=row.user_may_run)
        found[row.queue].append(WaitingLane(LaneKey(*row[:4]), row.waiting, held_by))
    return found


# Built once for a number of queues: building it takes longer than running it.
@lru_cache(maxsize=16)
def _first_lanes(queues: int, limit: int) -> CompoundSelect[Any]:
    free = [(Lane.queue == bindparam(f"queue_{number}"), _MAY_RUN) for number in range(queues)]
    # Apart, because they must not take the places of those that may run.
    held = (
        Lane.queue.in_(bindparam("queues", expanding=True)),
        Lane.project_id.in_(bindparam("project_ids", expanding=True)),
        not_(_MAY_RUN),
    )
    parts = [
        select(
            Lane.queue,
            Lane.rank,
            Lane.project_id,
            Lane.owner_id,
            Lane.waiting,
            may_run_more(PROJECT).label("project_may_run"),
            may_run_more(USER).label("user_may_run"),
            *IN_TURN[1:],
        )
        .join(PROJECT, PROJECT.subject_id == Lane.project_id)
        .join(USER, USER.subject_id == Lane.owner_id)
        .where(Lane.waiting > 0, *conditions)
        .order_by(*IN_TURN)
        .limit(limit)
        .subquery()
        for conditions in (*free, held)
    ]
    order = [column.key for column in IN_TURN]
    return union_all(*(select(lanes) for lanes in parts)).order_by(*order)


def subjects_at_limit(session: Session, subjects: Collection[str]) -> frozenset[str]:
    """Return those of these projects and users that have reached their limit of running jobs."""
    return frozenset(session.scalars(_AT_LIMIT, {"subjects": sorted(subjects)}))


_AT_LIMIT = select(Usage.subject_id).where(
    Usage.subject_id.in_(bindparam("subjects", expanding=True)), not_(may_run_more(Usage))
)


def jobs_before(lanes: Sequence[WaitingLane], own: LaneKey, in_lane: int) -> int:
    """Return how many jobs are claimed before a job, if no job is added.

    A job that is the third of its user waits for at most two or three jobs of each other user of
    its project, and in the same way for other projects.

    Args:
        lanes: as `lanes_before` returns them. If `own` is not among them, it comes behind them.
        own: the lane of the job.
        in_lane: number of the jobs before it in its own lane.
    """
    ahead = sum(lane.waiting for lane in lanes if lane.key.rank < own.rank)
    users: dict[str, int] = {}
    projects: dict[str, int] = {}
    for lane in lanes:
        if lane.key.rank == own.rank:
            project = lane.key.project_id
            projects[project] = projects.get(project, 0) + lane.waiting
            if project == own.project_id:
                users[lane.key.owner_id] = lane.waiting
    of_project = _in_rounds(users, own.owner_id, in_lane)
    return ahead + _in_rounds(projects, own.project_id, of_project)


def _in_rounds(waiting: Mapping[str, int], own: str, before: int) -> int:
    """Return the place, from 0, of the job of `own` that `before` other ones of it precede.

    `waiting` has the number of jobs by who takes turns, the next one first.
    """
    names = list(waiting)
    place = names.index(own) if own in waiting else len(names)
    others = (
        min(waiting[name], before + (number < place))
        for number, name in enumerate(names)
        if name != own
    )
    return before + sum(others)


def waiting_ranks(session: Session, queues: Collection[str], *, up_to: int) -> Sequence[int]:
    """Return the ranks up to this one in which jobs of the queues wait, the lowest priority first.

    A rank is 0 minus a priority.
    """
    statement = (
        select(Lane.rank)
        .where(Lane.queue.in_(queues), Lane.waiting > 0, Lane.rank <= up_to)
        .distinct()
        .order_by(Lane.rank.desc())
    )
    return session.scalars(statement).all()


def claims_in_turn(lanes: Sequence[WaitingLane]) -> Iterator[tuple[LaneKey, int]]:
    """Yield the jobs of lanes in the order of their claims, if no job is added.

    A job is given by its lane and its number in it, from 0.

    Args:
        lanes: of one queue, in turn.
    """
    for _, of_rank in groupby(lanes, key=lambda lane: lane.key.rank):
        projects: dict[str, deque[WaitingLane]] = {}
        for lane in of_rank:
            projects.setdefault(lane.key.project_id, deque()).append(lane)
        yield from _in_rounds_of(deque(projects.values()))


def _in_rounds_of(projects: deque[deque[WaitingLane]]) -> Iterator[tuple[LaneKey, int]]:
    """Let projects, and in each of them users, take turns until no job is left."""
    claimed: dict[LaneKey, int] = {}
    while projects:
        users = projects.popleft()
        lane = users.popleft()
        number = claimed.get(lane.key, 0)
        yield lane.key, number
        claimed[lane.key] = number + 1
        if number + 1 < lane.waiting:
            users.append(lane)
        if users:
            projects.append(users)


def _limit_of(*, project: bool, user: bool) -> str | None:
    if project and user:
        return None
    return "user_running_limit" if project else "project_running_limit"
