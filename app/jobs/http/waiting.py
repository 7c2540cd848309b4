"""Why queued jobs wait, and their places in the order of claims: of one job, or of a whole page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from sqlalchemy.orm import Session

from app.core.context import Context
from app.core.database import UnitOfWork
from app.fleet.repository import KnownSlot, known_slots
from app.jobs.life.claim import Demand
from app.jobs.places import LanesByQueue, Place, lanes_around, places_of
from app.jobs.queue.occupants import occupants
from app.jobs.queue.order import ESTIMATED_PLACES, Fleet, first_places, starts_of
from app.jobs.queue.reasons import LiveSlot, QueueReason, reason_of
from app.jobs.queue.waiting import back_offs_of
from app.jobs.repository import lane_of, queue_position
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.lanes import limit_that_holds


class WaitingReason(StrEnum):
    """Why a queued job is not running."""

    WAITING_FOR_WORKER = "waiting_for_worker"
    BACKING_OFF = "backing_off"
    NO_MATCHING_WORKER = "no_matching_worker"
    CORDONED = "cordoned"
    PROJECT_RUNNING_LIMIT = "project_running_limit"
    USER_RUNNING_LIMIT = "user_running_limit"

    @classmethod
    def of(cls, waits_for: QueueReason) -> Self:
        """Return the reason as a status names it."""
        named = {QueueReason.SLOT: "waiting_for_worker", QueueReason.BACK_OFF: "backing_off"}
        return cls(named.get(waits_for, waits_for.value))


@dataclass(frozen=True)
class Wait:
    """The place of a queued job in the order of claims, from 1, and why it waits.

    The place is None where a limit holds the job and the queue counts only jobs that are due. Its
    estimated start is None without an estimate.
    """

    position: int | None
    reason: WaitingReason
    starts_in_seconds: float | None


def wait_of(
    unit: UnitOfWork, context: Context, job: Job, known: Sequence[KnownSlot] | None
) -> Wait | None:
    """Return why a job waits that was just written, without an estimate; None if not queued.

    The slots are read unless they are `known`.
    """
    if job.state is not JobState.QUEUED:
        return None
    slots = _slots(_live(unit.session, context) if known is None else known)
    until = back_offs_of(unit.session, [job]).get(job.id)
    reason = _reason(job, slots, until, None)
    if reason is WaitingReason.WAITING_FOR_WORKER:
        reason = _reason(job, slots, until, limit_that_holds(unit.session, lane_of(job)))
    return Wait(queue_position(unit.session, job), reason, starts_in_seconds=None)


def waits_of(unit: UnitOfWork, context: Context, jobs: Iterable[Job]) -> dict[str, Wait]:
    """Return why the queued ones of these jobs wait, by id: four statements, or none.

    One more if one of them has had a back-off. One, and one for each of their queues, if the start
    of any can be estimated.
    """
    waiting = [job for job in jobs if job.state is JobState.QUEUED]
    if not waiting:
        return {}
    session = unit.session
    live = _live(session, context)
    lanes, until = lanes_around(session, waiting), back_offs_of(session, waiting)
    places, slots = places_of(session, waiting, lanes), _slots(live)
    reasons = {
        job.id: _reason(job, slots, until.get(job.id), places[job.id].limit) for job in waiting
    }
    queues = {job.queue for job in waiting if _is_estimated(places[job.id], reasons[job.id])}
    starts = _starts(session, live, {queue: lanes[queue] for queue in queues})
    return {
        job.id: Wait(places[job.id].position, reasons[job.id], starts.get(job.id))
        for job in waiting
    }


def _is_estimated(place: Place, reason: WaitingReason) -> bool:
    will_start = reason in {WaitingReason.WAITING_FOR_WORKER, WaitingReason.BACKING_OFF}
    return will_start and place.limit is None and place.position <= ESTIMATED_PLACES


def _starts(
    session: Session, live: Sequence[KnownSlot], lanes: LanesByQueue
) -> dict[str, float | None]:
    """Return the estimated starts of the first jobs of these queues."""
    if not lanes:
        return {}
    running = occupants(session)
    fleet = Fleet([LiveSlot.of(slot, is_busy=slot.id in running) for slot in live], running)
    return {
        job_id: start
        for of_queue in lanes.values()
        for job_id, start in starts_of(first_places(session, of_queue), fleet).items()
    }


def _live(session: Session, context: Context) -> list[KnownSlot]:
    known = known_slots(session, silent=context.settings.timing.worker_silence)
    return [slot for slot in known if slot.is_live]


def _slots(known: Iterable[KnownSlot]) -> list[LiveSlot]:
    # Whether a slot is busy does not matter to the reason: a busy one is a slot to wait for.
    return [LiveSlot.of(slot, is_busy=False) for slot in known if slot.is_live]


def _reason(
    job: Job, slots: Sequence[LiveSlot], until: datetime | None, limit: str | None
) -> WaitingReason:
    reason = reason_of(Demand.of(job), until=until, limit=limit, slots=slots)
    return WaitingReason.of(reason)
