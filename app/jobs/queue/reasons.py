"""Why a waiting job waits, judged by the same rules as claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from app.fleet.repository import KnownSlot
from app.fleet.tables import Worker
from app.jobs.life.claim import Demand, SlotOffer


class QueueReason(StrEnum):
    """What a waiting job waits for."""

    SLOT = "slot"
    BACK_OFF = "back_off"
    NO_MATCHING_WORKER = "no_matching_worker"
    CORDONED = "cordoned"
    PROJECT_RUNNING_LIMIT = "project_running_limit"
    USER_RUNNING_LIMIT = "user_running_limit"


@dataclass(frozen=True)
class LiveSlot:
    """A live slot: what it offers, whether it takes jobs, and whether it runs one."""

    worker_id: str
    name: str
    offer: SlotOffer
    is_cordoned: bool
    is_busy: bool

    @classmethod
    def of(cls, worker: Worker | KnownSlot, *, is_busy: bool) -> Self:
        """Return a registered slot."""
        return cls(
            worker_id=worker.id,
            name=worker.name,
            offer=SlotOffer.of(worker),
            is_cordoned=worker.cordon is not None,
            is_busy=is_busy,
        )


def reason_of(
    demand: Demand, *, until: datetime | None, limit: str | None, slots: Sequence[LiveSlot]
) -> QueueReason:
    """Return the first reason that holds a job.

    Args:
        demand: what the job requires of a slot.
        until: when its back-off ends, if it is not over.
        limit: the limit that holds its lane, if there is one.
        slots: the live slots.
    """
    suitable = [slot for slot in slots if slot.offer.suits(demand)]
    if not suitable:
        return QueueReason.NO_MATCHING_WORKER
    if all(slot.is_cordoned for slot in suitable):
        return QueueReason.CORDONED
    if until is not None:
        return QueueReason.BACK_OFF
    return QueueReason.SLOT if limit is None else QueueReason(limit)
