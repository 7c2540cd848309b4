"""The waiting jobs of a queue in the order of claims, with the reason and estimated start of each.

At most `MAX_POSITION` lanes and places are looked at, and `ESTIMATED_PLACES` are estimated, so
nothing grows with the number of jobs. Jobs of other projects are counted and not shown.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from sqlalchemy import SelectBase, literal, select, union_all
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.fleet.repository import KnownSlot, live_workers
from app.fleet.tables import Worker
from app.jobs.life.claim import Demand
from app.jobs.listed import ListedJob, with_records
from app.jobs.queue.estimates import QueuedJob, estimated_starts
from app.jobs.queue.occupants import Occupant, occupants
from app.jobs.queue.reasons import LiveSlot, QueueReason, reason_of
from app.jobs.repository import LISTED, MAX_POSITION
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.lanes import LaneKey, WaitingLane, claims_in_turn, lanes_of_queues

ESTIMATED_PLACES: Final = 100
"""Places, from the first, for which a start is estimated."""


@dataclass(frozen=True)
class NarrowJob:
    """The columns of a waiting job that decide when it starts, and the database's time."""

    id: str
    queue: str
    gpus: int | None
    trainer: str | None
    estimated_seconds: float | None
    not_before_at: datetime | None
    now: datetime

    @property
    def demand(self) -> Demand:
        """What it requires of a slot."""
        return Demand(self.queue, self.gpus, self.trainer)

    @property
    def back_off_seconds(self) -> float:
        """Seconds that are left of its back-off."""
        if self.not_before_at is None:
            return 0.0
        return max(0.0, (self.not_before_at - self.now).total_seconds())

    @property
    def queued(self) -> QueuedJob:
        """What decides its start."""
        return QueuedJob(self.id, self.demand, self.estimated_seconds, self.back_off_seconds)

    @property
    def until(self) -> datetime | None:
        """When its back-off ends, if it is not over."""
        return self.not_before_at if self.back_off_seconds else None


@dataclass(frozen=True)
class WaitingJob:
    """A waiting job of the caller.

    Attributes:
        at: number in the caller's list; a page begins after it.
        place: in the order of claims, from 1, with the jobs of all projects; None while a limit
            holds the job.
        listed: the job.
        waits_for: the reason.
        until: when its back-off ends, if it is not over.
        starts_in_seconds: None without an estimate.
    """

    at: int
    place: int | None
    listed: ListedJob
    waits_for: QueueReason
    until: datetime | None
    starts_in_seconds: float | None


@dataclass(frozen=True)
class QueuePart:
    """A part of the caller's waiting jobs, and how many of them are behind all places."""

    jobs: list[WaitingJob]
    not_shown: int


@dataclass(frozen=True)
class Fleet:
    """The live slots, what each runs, and the database's time."""

    slots: Sequence[LiveSlot]
    running: Mapping[str, Occupant]

    @property
    def free_in(self) -> dict[str, float | None]:
        """Seconds until each busy slot is free; None without an estimate."""
        return {worker_id: it.seconds_left for worker_id, it in self.running.items()}


@dataclass(frozen=True)
class _Place:
    """A job in the order of claims, given by its lane and its number in the lane, from 0."""

    at: int
    place: int | None
    lane: WaitingLane
    number: int


def read_fleet(session: Session, *, silent: timedelta) -> Fleet:
    """Return the live slots and what they run. Two statements."""
    return fleet_of(session, live_workers(session, silent=silent))


def fleet_of(session: Session, workers: Iterable[Worker | KnownSlot]) -> Fleet:
    """Return these live slots and what they run. One statement."""
    running = occupants(session)
    return Fleet([LiveSlot.of(row, is_busy=row.id in running) for row in workers], running)


def read_queue(
    session: Session,
    project_ids: Collection[str],
    queue: str,
    *,
    after: int,
    limit: int,
    silent: timedelta,
) -> QueuePart:
    """Return up to `limit` waiting jobs of these projects after the position `after`.

    Jobs that a limit holds come last.
    """
    lanes = lanes_of_queues(session, [queue], project_ids, limit=MAX_POSITION)[queue]
    places = _places(lanes)
    own = _own(places, lanes, project_ids)
    shown = [place for place in own if place.at > after][:limit]
    if not shown:
        return QueuePart([], _behind(lanes, own, project_ids))
    estimated = places[:ESTIMATED_PLACES] if _is_estimated(shown[0]) else []
    rows = _rows_at(session, [*estimated, *shown])
    fleet = read_fleet(session, silent=silent)
    starts = starts_of([rows[key] for place in estimated if (key := _key(place)) in rows], fleet)
    jobs = [(place, rows[key]) for place in shown if (key := _key(place)) in rows]
    listed = _listed(session, [job.id for _, job in jobs])
    return QueuePart(
        [
            WaitingJob(
                at=place.at,
                place=place.place,
                listed=listed[job.id],
                waits_for=reason_of(
                    job.demand,
                    until=job.until,
                    limit=place.lane.limit,
                    slots=fleet.slots,
                ),
                until=job.until,
                starts_in_seconds=starts.get(job.id),
            )
            for place, job in jobs
        ],
        _behind(lanes, own, project_ids),
    )


def first_places(session: Session, lanes: Sequence[WaitingLane]) -> list[NarrowJob]:
    """Return the jobs at the estimated places of a queue with these lanes, in order of claims.

    At most one statement.
    """
    places = _places(lanes)[:ESTIMATED_PLACES]
    rows = _rows_at(session, places) if places else {}
    return [rows[key] for place in places if (key := _key(place)) in rows]


def starts_of(jobs: Iterable[NarrowJob], fleet: Fleet) -> dict[str, float | None]:
    """Return the estimated starts of jobs that are in the order of claims."""
    starts = estimated_starts((job.queued for job in jobs), fleet.slots, fleet.free_in)
    return {job_id: start.seconds if start else None for job_id, start in starts.items()}


def place_of(lanes: Sequence[WaitingLane], lane: LaneKey, number: int) -> int | None:
    """Return the place of a lane's job, from 1; None behind all places that are looked at."""
    places = (it.place for it in _places(lanes) if (it.lane.key, it.number) == (lane, number))
    return next(places, None)


def queued_with(
    session: Session, lanes: Sequence[WaitingLane], lane: LaneKey, number: int, job: QueuedJob
) -> list[QueuedJob]:
    """Return the jobs at the estimated places, with one that is not stored among them.

    At most one statement.

    Args:
        session: session to read with.
        lanes: of a queue, in turn; that of the job counts it already.
        lane: of the job.
        number: of the job in its lane, from 0.
        job: the job.
    """
    places = _places(lanes)[:ESTIMATED_PLACES]
    rows = _rows_at(session, places) if places else {}
    keys = (_key(place) for place in places)
    found = (job if key == (lane, number) else rows.get(key) for key in keys)
    return [it.queued if isinstance(it, NarrowJob) else it for it in found if it is not None]


def _places(lanes: Sequence[WaitingLane]) -> list[_Place]:
    free = {lane.key: lane for lane in lanes if lane.limit is None}
    in_turn = islice(claims_in_turn([*free.values()]), MAX_POSITION)
    return [
        _Place(place, place, free[key], number) for place, (key, number) in enumerate(in_turn, 1)
    ]


def _own(
    places: Sequence[_Place], lanes: Sequence[WaitingLane], project_ids: Collection[str]
) -> list[_Place]:
    """Return the places of these projects, then what limits hold of them."""
    own = [place for place in places if place.lane.key.project_id in project_ids]
    held = (
        (lane, number)
        for lane in lanes
        if lane.limit is not None and lane.key.project_id in project_ids
        for number in range(lane.waiting)
    )
    room = MAX_POSITION - len(own)
    return own + [
        _Place(MAX_POSITION + nth, None, lane, number)
        for nth, (lane, number) in enumerate(islice(held, room), 1)
    ]


def _behind(
    lanes: Sequence[WaitingLane], own: Sequence[_Place], project_ids: Collection[str]
) -> int:
    waiting = sum(lane.waiting for lane in lanes if lane.key.project_id in project_ids)
    return waiting - len(own)


def _is_estimated(place: _Place) -> bool:
    return place.place is not None and place.place <= ESTIMATED_PLACES


def _key(place: _Place) -> tuple[LaneKey, int]:
    return place.lane.key, place.number


def _rows_at(session: Session, places: Sequence[_Place]) -> dict[tuple[LaneKey, int], NarrowJob]:
    """Return the jobs at these places, by lane and number. One statement."""
    numbers: dict[LaneKey, list[int]] = {}
    for place in places:
        numbers.setdefault(place.lane.key, []).append(place.number)
    keys, first = list(numbers), {key: min(of_lane) for key, of_lane in numbers.items()}
    parts = (
        _of_lane(nth, key, range(first[key], max(numbers[key]) + 1)).subquery()
        for nth, key in enumerate(keys)
    )
    together = union_all(*(select(part) for part in parts)).subquery()
    found: dict[tuple[LaneKey, int], NarrowJob] = {}
    for nth, *columns in session.execute(select(together).order_by("lane", "id")):
        key = keys[nth]
        found[key, first[key]] = NarrowJob(*columns)
        first[key] += 1
    return found


def _of_lane(nth: int, key: LaneKey, numbers: range) -> SelectBase:
    return (
        select(
            literal(nth).label("lane"),
            Job.id,
            Job.queue,
            Job.gpus,
            Job.trainer,
            Job.estimated_seconds,
            Job.not_before_at,
            database_now().label("now"),
        )
        .where(
            # A literal: with a parameter SQLite does not use the partial index.
            Job.state == literal(JobState.QUEUED, Job.state.type, literal_execute=True),
            Job.queue == key.queue,
            Job.priority == -key.rank,
            Job.project_id == key.project_id,
            Job.owner_id == key.owner_id,
        )
        .order_by(Job.id)
        .limit(len(numbers))
        .offset(numbers.start)
    )


def _listed(session: Session, job_ids: Sequence[str]) -> dict[str, ListedJob]:
    jobs = session.scalars(select(Job).options(*LISTED).where(Job.id.in_(job_ids))).all()
    return {listed.job.id: listed for listed in with_records(session, jobs)}
