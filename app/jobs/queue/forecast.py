"""When a job would start if it were submitted now, and on which slot. Nothing is written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.orm import Session

from app.jobs.commands.submit import Resolution
from app.jobs.life.claim import Demand
from app.jobs.queue.estimates import QueuedJob, Start, estimated_starts
from app.jobs.queue.order import fleet_of, place_of, queued_with
from app.jobs.queue.reasons import LiveSlot, QueueReason, reason_of
from app.jobs.repository import MAX_POSITION
from app.quotas.lanes import LaneKey, WaitingLane, lanes_of_queues, limit_that_holds

NOT_STORED: Final = ""
"""Stands for the id of the job, which has none yet."""


@dataclass(frozen=True)
class Forecast:
    """Where a job would wait.

    Attributes:
        place: in the order of claims, from 1; None while a limit would hold it, or behind all
            places that are looked at.
        waits_for: what it would wait for.
        slot: the live slot that would take it; None if that is not known.
        starts_in_seconds: None without an estimate.
    """

    place: int | None
    waits_for: QueueReason
    slot: LiveSlot | None
    starts_in_seconds: float | None


def forecast(session: Session, owner_id: str, resolution: Resolution) -> Forecast:
    """Return where a job of this user would wait. At most four statements."""
    spec = resolution.spec
    demand = Demand(
        spec.resources.queue, spec.resources.gpus, spec.trainer.name if spec.trainer else None
    )
    lane = LaneKey(demand.queue, -spec.priority, resolution.project_id, owner_id)
    fleet = fleet_of(session, [slot for slot in resolution.slots if slot.is_live])
    limit = limit_that_holds(session, lane)
    reason = reason_of(demand, until=None, limit=limit, slots=fleet.slots)
    if limit is not None:
        return Forecast(None, reason, None, None)
    found = lanes_of_queues(session, [lane.queue], [lane.project_id], limit=MAX_POSITION)
    lanes, number = _with_one_more(found[lane.queue], lane)
    seconds = resolution.plan.estimate.seconds
    job = QueuedJob(NOT_STORED, demand, seconds, back_off_seconds=0.0)
    queued = queued_with(session, lanes, lane, number, job)
    start: Start | None = estimated_starts(queued, fleet.slots, fleet.free_in).get(NOT_STORED)
    by_id = {slot.worker_id: slot for slot in fleet.slots}
    return Forecast(
        place=place_of(lanes, lane, number),
        waits_for=reason,
        slot=by_id[start.worker_id] if start else None,
        starts_in_seconds=start.seconds if start else None,
    )


def _with_one_more(lanes: Sequence[WaitingLane], own: LaneKey) -> tuple[list[WaitingLane], int]:
    """Return the lanes with one more job in `own`, and its number there, from 0.

    A lane without waiting jobs comes behind the others of its priority, as in `jobs_before`.
    """
    waiting = next((lane.waiting for lane in lanes if lane.key == own), 0)
    if waiting:
        more = [replace(lane, waiting=waiting + 1) if lane.key == own else lane for lane in lanes]
        return more, waiting
    before = sum(lane.key.rank <= own.rank for lane in lanes)
    return [*lanes[:before], WaitingLane(own, 1), *lanes[before:]], 0
