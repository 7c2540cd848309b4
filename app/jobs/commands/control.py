"""Actions of a user on an existing job: events, and changes of name, notes, tags or priority."""

from typing import Any, Final

from app.accounts.authentication import Principal
from app.accounts.tables import MemberRole
from app.audit.record import record_change
from app.core.context import Context
from app.core.database import UnitOfWork
from app.events.repository import append_event
from app.jobs.commands.submit import check_priority
from app.jobs.errors import GraceIsOver, JobInTrash, StaleRevision, refusal_of
from app.jobs.life.transitions import Refused, apply_event
from app.jobs.listed import ListedJob, visible_listed_job
from app.jobs.repository import edit_job, is_in_grace, lock_visible_job
from app.jobs.states import JobEvent
from app.jobs.tables import Job
from app.quotas.repository import Consumer, Quota, check_within

PAST: Final = {
    JobEvent.CANCEL: "cancelled",
    JobEvent.PAUSE: "paused",
    JobEvent.STOP: "stopped",
    JobEvent.RESUME: "resumed",
    JobEvent.RETRY: "retried",
    JobEvent.DELETE: "trashed",
    JobEvent.RESTORE: "restored",
}
"""Each event of a user as the audit log names it."""
QUEUES_AGAIN: Final = frozenset({JobEvent.RESUME, JobEvent.RETRY})
"""A stop of a paused job queues it too, but only to keep what it has."""


def apply_user_event(
    context: Context, principal: Principal, job_id: str, event: JobEvent
) -> ListedJob:
    """Apply a user's event to a job and return the changed job.

    Raises:
        JobNotFound: the job is not in the caller's projects.
        InvalidTransition, NothingToKeep: the job's state does not allow the event.
        GraceIsOver: the event is restore, and the job was deleted too long ago.
        InsufficientRole: the caller's role in the project does not allow the event.
        ProjectArchived: the job's project is archived.
        QueueFull: the event queues the job again, and too many jobs wait.
    """
    with context.database.write() as unit:
        job = lock_visible_job(unit.session, principal.project_ids, job_id)
        if event in {JobEvent.DELETE, JobEvent.RESTORE}:
            principal.require_owner_or_admin(job.project_id, job.owner_id)
        else:
            principal.require_role(job.project_id, MemberRole.MEMBER)
        if event is JobEvent.RESTORE and job.trashed_at is not None:
            _check_grace(unit, context, principal, job_id)
        outcome = apply_event(unit.session, job, event, actor=principal.event_actor)
        if isinstance(outcome, Refused):
            raise refusal_of(event, outcome.facts)
        _record(unit, principal, job, f"job.{PAST[event]}")
        if outcome.rings and event in QUEUES_AGAIN:
            consumer = Consumer(job.project_id, job.owner_id)
            check_within(unit.session, consumer, Quota.QUEUED_JOBS)
        if outcome.rings:
            unit.after_commit(lambda: context.ring(job.id, job.dispatch_seq, job.queue))
        return visible_listed_job(unit.session, principal.project_ids, job_id)


def change_job(
    context: Context,
    principal: Principal,
    job_id: str,
    *,
    values: dict[str, Any],
    tags: dict[str, str] | None,
    revision: int | None,
) -> ListedJob:
    """Change user-editable fields; `revision` comes from `If-Match`.

    Raises:
        JobNotFound: the job is not in the caller's projects.
        JobInTrash: the job is in the trash.
        StaleRevision: the job was changed after that revision.
        InsufficientRole: the caller only reads in the project.
        ProjectArchived: the job's project is archived.
        PriorityTooHigh: the new priority is above the ceiling of the caller's role.
    """
    with context.database.write() as unit:
        job = lock_visible_job(unit.session, principal.project_ids, job_id)
        principal.require_role(job.project_id, MemberRole.MEMBER)
        if job.trashed_at is not None:
            raise JobInTrash(job_id)
        if revision is not None and revision != job.revision:
            raise StaleRevision(job.revision)
        if values.get("priority", job.priority) > job.priority:
            check_priority(context, principal, job.project_id, values["priority"])
        changed = sorted([*values, *([] if tags is None else ["tags"])])
        if changed:
            seq = job.last_seq + 1  # before the update, which also changes `job`
            edit_job(unit.session, job, values | {"last_seq": seq}, tags)
            append_event(
                unit.session,
                job.id,
                seq,
                "job.changed",
                data={"fields": [*changed], "actor": {**principal.event_actor}},
            )
            _record(unit, principal, job, "job.changed", fields=" ".join(changed))
            unit.session.expire_all()
        return visible_listed_job(unit.session, principal.project_ids, job_id)


def _record(unit: UnitOfWork, principal: Principal, job: Job, action: str, **details: str) -> None:
    record_change(
        unit.session,
        principal.actor(),
        action,
        target=job.id,
        project_id=job.project_id,
        details={"name": job.name, **details},
    )


def _check_grace(unit: UnitOfWork, context: Context, principal: Principal, job_id: str) -> None:
    """Refuse a job that the collector may be deleting; it locks the row before it checks too."""
    settings = context.settings
    if not is_in_grace(unit.session, principal.project_ids, job_id, grace=settings.trash_grace):
        raise GraceIsOver(settings.trash_days)
