"""Actions of a user on an existing job: events, and changes of name, notes, tags or priority."""

from datetime import timedelta
from typing import Any

from app.accounts.authentication import Principal
from app.core.context import Context
from app.core.database import UnitOfWork
from app.events.repository import append_event
from app.jobs.errors import GraceIsOver, JobInTrash, StaleRevision, refusal_of
from app.jobs.life.transitions import Refused, apply_event
from app.jobs.repository import (
    ListedJob,
    edit_job,
    is_in_grace,
    lock_visible_job,
    visible_listed_job,
)
from app.jobs.states import JobEvent


def apply_user_event(
    context: Context, principal: Principal, job_id: str, event: JobEvent
) -> ListedJob:
    """Apply a user's event to a job and return the changed job.

    Raises:
        JobNotFound: the job is not in the caller's projects.
        InvalidTransition, NothingToKeep: the job's state does not allow the event.
        GraceIsOver: the event is restore, and the job was deleted too long ago.
    """
    with context.database.write() as unit:
        job = lock_visible_job(unit.session, principal.project_ids, job_id)
        if event is JobEvent.RESTORE and job.trashed_at is not None:
            _check_grace(unit, context, principal, job_id)
        outcome = apply_event(unit.session, job, event)
        if isinstance(outcome, Refused):
            raise refusal_of(event, outcome.facts)
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
    """
    with context.database.write() as unit:
        job = lock_visible_job(unit.session, principal.project_ids, job_id)
        if job.trashed_at is not None:
            raise JobInTrash(job_id)
        if revision is not None and revision != job.revision:
            raise StaleRevision(job.revision)
        changed = sorted([*values, *([] if tags is None else ["tags"])])
        if changed:
            seq = job.last_seq + 1  # before the update, which also changes `job`
            edit_job(unit.session, job, values | {"last_seq": seq}, tags)
            append_event(unit.session, job.id, seq, "job.changed", data={"fields": list(changed)})
            unit.session.expire_all()
        return visible_listed_job(unit.session, principal.project_ids, job_id)


def _check_grace(unit: UnitOfWork, context: Context, principal: Principal, job_id: str) -> None:
    """Refuse a job that the collector may be deleting; it locks the row before it checks too."""
    days = context.settings.trash_days
    grace = timedelta(days=days)
    if not is_in_grace(unit.session, principal.project_ids, job_id, grace=grace):
        raise GraceIsOver(days)
