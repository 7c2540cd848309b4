"""Why queued jobs wait, and their places in the order of claims: of one job, or of a whole page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from app.core.context import Context
from app.core.database import UnitOfWork
from app.fleet.repository import live_workers
from app.fleet.tables import Worker
from app.jobs.life.claim import Demand
from app.jobs.places import places_of
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

    The place is None where a limit holds the job and the queue counts only jobs that are due.
    """

    position: int | None
    reason: WaitingReason


def wait_of(unit: UnitOfWork, context: Context, job: Job) -> Wait | None:
    """Return why one job waits; None if it is not queued."""
    if job.state is not JobState.QUEUED:
        return None
    slots = _slots(live_workers(unit.session, silent=context.settings.timing.worker_silence))
    until = back_offs_of(unit.session, [job]).get(job.id)
    reason = _reason(job, slots, until, None)
    if reason is WaitingReason.WAITING_FOR_WORKER:
        reason = _reason(job, slots, until, limit_that_holds(unit.session, lane_of(job)))
    return Wait(queue_position(unit.session, job), reason)


def waits_of(unit: UnitOfWork, context: Context, jobs: Iterable[Job]) -> dict[str, Wait]:
    """Return why the queued ones of these jobs wait, by id: four statements, or none.

    One more if one of them has had a back-off.
    """
    waiting = [job for job in jobs if job.state is JobState.QUEUED]
    if not waiting:
        return {}
    slots = _slots(live_workers(unit.session, silent=context.settings.timing.worker_silence))
    places, until = places_of(unit.session, waiting), back_offs_of(unit.session, waiting)
    return {
        job.id: Wait(
            places[job.id].position,
            _reason(job, slots, until.get(job.id), places[job.id].limit),
        )
        for job in waiting
    }


def _slots(live: Iterable[Worker]) -> list[LiveSlot]:
    # Whether a slot is busy does not matter to the reason: a busy one is a slot to wait for.
    return [LiveSlot.of(worker, is_busy=False) for worker in live]


def _reason(
    job: Job, slots: Sequence[LiveSlot], until: datetime | None, limit: str | None
) -> WaitingReason:
    reason = reason_of(Demand.of(job), until=until, limit=limit, slots=slots)
    return WaitingReason.of(reason)
