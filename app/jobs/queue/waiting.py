"""Why one job waits: the reason, each requirement against each live slot, and the limits."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.jobs.life.claim import Demand
from app.jobs.places import lanes_around
from app.jobs.queue.occupants import Occupant
from app.jobs.queue.order import first_places, read_fleet, starts_of
from app.jobs.queue.reasons import LiveSlot, QueueReason, reason_of
from app.jobs.repository import lane_of, queue_position, visible_job
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.lanes import limit_that_holds
from app.quotas.repository import Quota, QuotaUse, usage_of


@dataclass(frozen=True)
class SlotCheck:
    """A live slot, what it runs, and which requirements of a job it meets."""

    slot: LiveSlot
    occupant: Occupant | None
    serves_queue: bool
    has_gpus: bool
    has_trainer: bool

    @property
    def suits(self) -> bool:
        """Whether it meets all requirements."""
        return self.serves_queue and self.has_gpus and self.has_trainer


@dataclass(frozen=True)
class WaitingFacts:
    """A job that waits, and what it waits for."""

    job: Job
    waits_for: QueueReason
    place: int
    until: datetime | None
    starts_in_seconds: float | None
    slots: list[SlotCheck]
    project_running: QuotaUse
    user_running: QuotaUse

    @property
    def demand(self) -> Demand:
        """What the job requires of a slot."""
        return Demand.of(self.job)


def read_waiting(
    session: Session, project_ids: Collection[str], job_id: str, *, silent: timedelta
) -> tuple[Job, WaitingFacts | None]:
    """Return a job of these projects, and why it waits; None if it does not.

    Raises:
        JobNotFound: these projects have no such job.
    """
    job = visible_job(session, project_ids, job_id)
    if job.state is not JobState.QUEUED:
        return job, None
    demand, fleet = Demand.of(job), read_fleet(session, silent=silent)
    until = back_offs_of(session, [job]).get(job.id)
    limit = limit_that_holds(session, lane_of(job))
    lanes = lanes_around(session, [job])
    starts = starts_of(first_places(session, lanes[job.queue]), fleet)
    return job, WaitingFacts(
        job=job,
        waits_for=reason_of(demand, until=until, limit=limit, slots=fleet.slots),
        place=queue_position(session, job),
        until=until,
        starts_in_seconds=starts.get(job.id),
        slots=[_fit(slot, demand, fleet.running.get(slot.worker_id)) for slot in fleet.slots],
        project_running=usage_of(session, job.project_id)[Quota.RUNNING_JOBS],
        user_running=usage_of(session, job.owner_id)[Quota.RUNNING_JOBS],
    )


def sentence_of(waiting: WaitingFacts, *, shows_slots: bool) -> str:
    """Return the reason in one sentence, with names of slots if the caller may see them."""
    demand = waiting.demand
    match waiting.waits_for:
        case QueueReason.NO_MATCHING_WORKER:
            return f"No live slot {_requirements(demand)}."
        case QueueReason.CORDONED:
            return "Every live slot that suits the job is cordoned."
        case QueueReason.BACK_OFF:
            return "An attempt was interrupted, and the job may be claimed again after `until`."
        case QueueReason.PROJECT_RUNNING_LIMIT:
            return f"Its project runs {waiting.project_running.used} jobs, which is its limit."
        case QueueReason.USER_RUNNING_LIMIT:
            return f"Its owner runs {waiting.user_running.used} jobs, which is their limit."
        case QueueReason.SLOT:
            return _about_slots(waiting.slots, waiting.place, shows_names=shows_slots)


def back_offs_of(session: Session, jobs: Iterable[Job]) -> dict[str, datetime]:
    """Return by id when the back-off of each job ends, without those that are over.

    One statement, or none if no job had a back-off.
    """
    ends = {job.id: job.not_before_at for job in jobs if job.not_before_at is not None}
    if not ends:
        return {}
    now: datetime = session.scalars(select(database_now())).one()
    return {job_id: end for job_id, end in ends.items() if end > now}


def _fit(slot: LiveSlot, demand: Demand, occupant: Occupant | None) -> SlotCheck:
    """Judge each requirement alone, by the rule of claims with the other ones left out."""
    offer = slot.offer
    queue = offer.queues[0] if offer.queues else ""
    return SlotCheck(
        slot=slot,
        occupant=occupant,
        serves_queue=offer.suits(Demand(demand.queue, None, None)),
        has_gpus=offer.suits(Demand(queue, demand.gpus, None)),
        has_trainer=offer.suits(Demand(queue, None, demand.trainer)),
    )


def _requirements(demand: Demand) -> str:
    parts = [f"serves the queue {demand.queue}"]
    if demand.gpus is not None:
        parts.append(f"has {demand.gpus} GPUs" if demand.gpus else "is on the CPU")
    if demand.trainer is not None:
        parts.append(f"has the trainer plugin {demand.trainer}")
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def _about_slots(fits: Sequence[SlotCheck], place: int, *, shows_names: bool) -> str:
    usable = [fit.slot for fit in fits if fit.suits and not fit.slot.is_cordoned]
    free = [slot for slot in usable if not slot.is_busy]
    name = f" ({(free or usable)[0].name})" if shows_names else ""
    if free:
        slots = f"A slot that suits it{name} is free"
    elif len(usable) == 1:
        slots = f"The only slot that suits it{name} runs another job"
    else:
        slots = f"All {len(usable)} slots that suit it run other jobs"
    return f"{slots}, and it is number {place} in its queue."
