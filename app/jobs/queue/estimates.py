"""When waiting jobs will start, from the plans of the jobs before them and from running ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.jobs.life.claim import Demand
from app.jobs.queue.reasons import LiveSlot


@dataclass(frozen=True)
class QueuedJob:
    """A waiting job in the order of claims.

    `estimated_seconds` is its duration as planned, and `back_off_seconds` what is left of its
    back-off.
    """

    id: str
    demand: Demand
    estimated_seconds: float | None
    back_off_seconds: float


@dataclass(frozen=True)
class Start:
    """The slot that a waiting job takes, and the seconds until then."""

    worker_id: str
    seconds: float


def estimated_starts(
    jobs: Iterable[QueuedJob], slots: Sequence[LiveSlot], free_in: Mapping[str, float | None]
) -> dict[str, Start | None]:
    """Return where and when each job starts, if each takes the first slot that is free for it.

    None where no uncordoned slot suits the job, or where the time at which a suitable slot is free
    depends on a job without an estimate.

    Args:
        jobs: in the order of claims, from the first.
        slots: the live slots.
        free_in: seconds until each busy slot is free; None without an estimate.
    """
    open_slots = [slot for slot in slots if not slot.is_cordoned]
    free = {slot.worker_id: free_in.get(slot.worker_id, 0.0) for slot in open_slots}
    starts: dict[str, Start | None] = {}
    for job in jobs:
        suitable = [slot.worker_id for slot in open_slots if slot.offer.suits(job.demand)]
        starts[job.id] = _take_slot(free, suitable, job)
    return starts


def _take_slot(
    free: dict[str, float | None], suitable: Sequence[str], job: QueuedJob
) -> Start | None:
    """Let a job take the first suitable slot, and return which and when."""
    known = {slot: seconds for slot in suitable if (seconds := free[slot]) is not None}
    first = min(known, key=known.__getitem__, default=None)
    if first is None or (len(known) < len(suitable) and known[first] > 0):
        free.update(dict.fromkeys(suitable))  # it takes one of them, but which one is not known
        return None
    start = max(known[first], job.back_off_seconds)
    estimated = job.estimated_seconds
    free[first] = None if estimated is None else start + estimated
    return Start(first, start)
