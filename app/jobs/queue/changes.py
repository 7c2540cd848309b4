"""The single changes with which the next claim takes a waiting job: found by trial, not guessed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from pydantic import JsonValue
from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.accounts.errors import InsufficientRole, ProjectArchived
from app.accounts.keys import KeyScope
from app.accounts.tables import MemberRole
from app.core.context import Context
from app.jobs.commands.submit import check_priority
from app.jobs.errors import PriorityTooHigh
from app.jobs.life.claim import Demand
from app.jobs.queue.occupants import Occupant
from app.jobs.queue.order import Fleet, read_fleet
from app.jobs.queue.reasons import LiveSlot
from app.jobs.queue.trials import (
    best_jobs,
    taker_of,
    with_cancelled,
    with_clone,
    with_priority,
    with_uncordoned,
)
from app.jobs.repository import job_of, visible_job
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.errors import QueueFull
from app.quotas.lanes import waiting_ranks

OF_EACH_KIND: Final = 4
"""Candidates of each kind that are tried."""
HIGHEST_PRIORITY: Final = 100


class ChangeKind(StrEnum):
    """How a change is made."""

    CHANGE = "change"
    CLONE = "clone"
    UNCORDON = "uncordon"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Change:
    """A change, and the slot whose next claim then takes the job.

    Attributes:
        kind: how it is made.
        slot: that takes the job, or the clone of it.
        patch: a merge patch of the job's editable fields, or of its spec for a clone.
        target: the job that is cancelled, or the slot that is uncordoned.
    """

    kind: ChangeKind
    slot: LiveSlot
    patch: Mapping[str, JsonValue] | None = None
    target: str | None = None


def find_changes(context: Context, principal: Principal, waiting: Job) -> list[Change]:
    """Return changes that the caller may make and with which a waiting job is taken sooner.

    A change is a result if a free slot then takes the job at its next claim, or, where only slots
    that run a job suit it, the next of those that ends its job. Nothing is changed: each is tried
    in a transaction that writes and undone, which a caller who may change nothing does not open.

    Raises:
        JobNotFound: the job is no longer in the caller's projects.
    """
    if not (_may_change(principal, waiting.project_id) or _may_uncordon(principal)):
        return []
    silent = context.settings.timing.worker_silence
    with context.database.write() as unit:
        job = visible_job(unit.session, principal.project_ids, waiting.id)
        if job.state is not JobState.QUEUED:
            return []
        fleet = read_fleet(unit.session, silent=silent)
        search = _Search(context, principal, unit.session, job, fleet)
        now = _rank(taker_of(unit.session, fleet.slots, job.id))
        return [change for change in search.all() if _rank(change.slot) > now]


def _rank(slot: LiveSlot | None) -> int:
    """Order what takes a job: nothing, a slot that runs a job, a free slot."""
    if slot is None:
        return 0
    return 1 if slot.is_busy else 2


def _may_change(principal: Principal, project_id: str) -> bool:
    if KeyScope.JOBS_WRITE not in principal.scopes:
        return False
    try:
        principal.require_role(project_id, MemberRole.MEMBER)
    except (InsufficientRole, ProjectArchived):
        return False
    return True


def _may_uncordon(principal: Principal) -> bool:
    return principal.is_administrator and KeyScope.WORKERS_WRITE in principal.scopes


@dataclass(frozen=True)
class _Search:
    """The changes of one job that one caller may make."""

    context: Context
    principal: Principal
    session: Session
    job: Job
    fleet: Fleet

    def all(self) -> Iterator[Change]:
        """Yield the changes with which any slot takes the job."""
        if _may_change(self.principal, self.job.project_id):
            yield from self._by_priority()
            yield from self._by_clone()
            yield from self._by_cancelling()
        if _may_uncordon(self.principal):
            yield from self._by_uncordoning()

    def _by_priority(self) -> Iterator[Change]:
        """Yield the lowest higher priority that helps, one above that of jobs before it."""
        for priority in islice(self._priorities(), OF_EACH_KIND):
            slot = with_priority(self.session, self.fleet.slots, self.job.id, priority)
            if slot is not None:
                yield Change(ChangeKind.CHANGE, slot, patch={"priority": priority})
                return

    def _priorities(self) -> Iterator[int]:
        queues = {queue for slot in self._suitable() for queue in slot.offer.queues}
        for rank in waiting_ranks(self.session, queues, up_to=-self.job.priority):
            priority = 1 - rank
            if priority <= HIGHEST_PRIORITY and self._may_have(priority):
                yield priority

    def _may_have(self, priority: int) -> bool:
        try:
            check_priority(self.context, self.principal, self.job.project_id, priority)
        except PriorityTooHigh:
            return False
        return True

    def _by_clone(self) -> Iterator[Change]:
        demand = Demand.of(self.job)
        queues = {queue for slot in self._open() for queue in slot.offer.queues} - {demand.queue}
        for queue in islice(sorted(queues), OF_EACH_KIND):
            yield from self._clone(queue=queue)
        if demand.gpus is not None:
            counts = {slot.offer.gpus for slot in self._open()} - {demand.gpus}
            for gpus in islice(sorted(counts), OF_EACH_KIND):
                yield from self._clone(gpus=gpus)

    def _clone(self, **resources: JsonValue) -> Iterator[Change]:
        owner_id = self.principal.user_id
        try:
            slot = with_clone(self.session, self.fleet.slots, self.job, owner_id, **resources)
        except QueueFull:
            return
        if slot is not None:
            yield Change(ChangeKind.CLONE, slot, patch={"resources": resources})

    def _by_cancelling(self) -> Iterator[Change]:
        for job_id in islice(self._own_before(), 2 * OF_EACH_KIND):
            slot = with_cancelled(self.session, self.fleet.slots, self.job.id, job_id)
            if slot is not None:
                yield Change(ChangeKind.CANCEL, slot, target=job_id)

    def _own_before(self) -> Iterator[str]:
        """Yield the caller's jobs that are claimed before this one, or run."""
        for job_id in best_jobs(self.session, self._suitable()):
            first = job_of(self.session, self.principal.project_ids, job_id)
            if first is not None and job_id != self.job.id and self._is_own(first):
                yield job_id
        for occupant in self.fleet.running.values():
            if self._is_own(occupant):
                yield occupant.job_id

    def _is_own(self, job: Job | Occupant) -> bool:
        is_own = job.owner_id == self.principal.user_id
        return is_own and _may_change(self.principal, job.project_id)

    def _by_uncordoning(self) -> Iterator[Change]:
        suitable = (slot for slot in self._suitable() if slot.is_cordoned)
        for cordoned in islice(suitable, OF_EACH_KIND):
            slot = with_uncordoned(self.session, self.fleet.slots, self.job.id, cordoned)
            if slot is not None:
                yield Change(ChangeKind.UNCORDON, slot, target=cordoned.worker_id)

    def _suitable(self) -> Sequence[LiveSlot]:
        demand = Demand.of(self.job)
        return [slot for slot in self.fleet.slots if slot.offer.suits(demand)]

    def _open(self) -> Sequence[LiveSlot]:
        return [slot for slot in self.fleet.slots if not slot.is_cordoned]
