"""What would happen after one change: it is made, the claim rules are asked, and it is undone.

Each trial is a savepoint of a write transaction that is always rolled back. The question is
`best_job`, which decides what slots are rung for, with the conditions of a claim.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.jobs.end_reasons import EndReason
from app.jobs.life.claim import best_job
from app.jobs.life.transitions import AttemptEnd, Refused, apply_event
from app.jobs.locks import lock_job
from app.jobs.queue.reasons import LiveSlot
from app.jobs.repository import insert_job
from app.jobs.states import JobEvent, JobState
from app.jobs.tables import Job
from app.quotas.repository import Consumer, Quota, check_within

Slots = Sequence[LiveSlot]

MAX_KINDS: Final = 6
"""Kinds of slots that are asked: slots with the same offer claim the same job."""
COPIED: Final = (
    "project_id", "name", "notes", "queue", "gpus", "priority", "max_restarts", "timeout_seconds",
    "dataset_id", "dataset_version_id", "model", "model_sha256", "task", "architecture", "imgsz",
    "trainer", "spec", "resolved_spec", "spec_version", "estimated_seconds",
)  # fmt: skip
"""Columns of a job that its clone has, too."""


def taker_of(session: Session, slots: Slots, job_id: str) -> LiveSlot | None:
    """Return the slot whose next claim takes a job, a free one before one that runs a job."""
    for slot in _kinds(slots):
        best = best_job(session, slot.offer)
        if best is not None and best[0] == job_id:
            return slot
    return None


def best_jobs(session: Session, slots: Slots) -> list[str]:
    """Return the jobs that the next claims of the slots take."""
    found = (best_job(session, slot.offer) for slot in _kinds(slots))
    return list(dict.fromkeys(best[0] for best in found if best is not None))


def with_priority(session: Session, slots: Slots, job_id: str, priority: int) -> LiveSlot | None:
    """Return what takes a job that has this priority."""
    statement = update(Job).where(Job.id == job_id).values(priority=priority)
    with _undone(session):
        session.execute(statement.execution_options(synchronize_session=False))
        return taker_of(session, slots, job_id)


def with_clone(
    session: Session,
    slots: Slots,
    job: Job,
    owner_id: str,
    **columns: Any,  # noqa: ANN401 -- columns of a job
) -> LiveSlot | None:
    """Return what takes a clone of a job that differs in these columns.

    Raises:
        QueueFull: the clone is refused, because too many jobs wait.
    """
    values = {name: getattr(job, name) for name in COPIED} | columns
    with _undone(session):
        clone = insert_job(session, {**values, "id": new_id("job"), "owner_id": owner_id}, {})
        check_within(session, Consumer(job.project_id, owner_id), Quota.QUEUED_JOBS)
        return taker_of(session, slots, clone.id)


def with_uncordoned(session: Session, slots: Slots, job_id: str, slot: LiveSlot) -> LiveSlot | None:
    """Return what takes a job if a slot takes jobs again."""
    open_slot = replace(slot, is_cordoned=False)
    return taker_of(session, [open_slot, *slots], job_id)


def with_cancelled(session: Session, slots: Slots, job_id: str, cancelled: str) -> LiveSlot | None:
    """Return what takes a job after another one was cancelled, and its trainer has ended."""
    with _undone(session):
        freed = _cancel(session, cancelled)
        free = [replace(slot, is_busy=False) for slot in slots if slot.worker_id == freed]
        return taker_of(session, [*free, *slots], job_id)


@contextmanager
def _undone(session: Session) -> Iterator[None]:
    savepoint = session.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def _cancel(session: Session, job_id: str) -> str | None:
    """Cancel a job, and end it as its worker will; return the slot that becomes free."""
    job = lock_job(session, Job.id == job_id)
    if job is None or isinstance(apply_event(session, job, JobEvent.CANCEL), Refused):
        return None
    running = lock_job(session, Job.id == job_id, Job.state == JobState.RUNNING)
    if running is None:
        return None
    apply_event(session, running, JobEvent.LEAVE, AttemptEnd(EndReason.CANCELLED))
    return running.worker_id


def _kinds(slots: Slots) -> list[LiveSlot]:
    """Return one slot of each kind that takes jobs, those without a job first."""
    kinds: dict[object, LiveSlot] = {}
    for slot in sorted(slots, key=lambda it: it.is_busy):
        if not slot.is_cordoned:
            kinds.setdefault((slot.offer.queues, slot.offer.gpus, slot.offer.plugins), slot)
    return list(kinds.values())[:MAX_KINDS]
