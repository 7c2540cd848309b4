"""A job's status: its row, why it waits, and the entity tag for polling."""

from dataclasses import dataclass

from app.accounts.authentication import Principal
from app.core.context import Context
from app.core.database import UnitOfWork
from app.jobs.changes import JobMark
from app.jobs.http.job_views import JobRow, JobView
from app.jobs.http.waiting import wait_of
from app.jobs.listed import ListedJob, visible_listed_job
from app.jobs.plan.views import shown_spec
from app.jobs.states import JobState


@dataclass(frozen=True)
class StatusAnswer:
    """A status as bytes. A waiting job's queue position can change while its tag does not."""

    tag: str
    body: bytes
    may_be_unchanged: bool
    mark: JobMark


def read_status(context: Context, principal: Principal, job_id: str) -> StatusAnswer:
    """Read a job's status.

    Raises:
        JobNotFound: no such job is in the caller's projects.
    """
    with context.database.read() as unit:
        listed = visible_listed_job(unit.session, principal.project_ids, job_id)
        view = _view(unit, context, principal, listed)
    waits = listed.job.state is JobState.QUEUED
    body = view.model_dump_json().encode()
    mark = JobMark.of(listed.job, listed.progress)
    return StatusAnswer(_entity_tag(listed), body, may_be_unchanged=not waits, mark=mark)


def job_status(context: Context, principal: Principal, listed: ListedJob) -> JobView:
    """Return the status of a job that was just written."""
    with context.database.read() as unit:
        return _view(unit, context, principal, listed)


def _view(unit: UnitOfWork, context: Context, principal: Principal, listed: ListedJob) -> JobView:
    job = listed.job
    wait = wait_of(unit, context, job)
    return JobView(
        **JobRow.fields_of(
            listed, principal.project_names, wait, grace=context.settings.trash_grace
        ),
        notes=job.notes,
        resume_epoch=listed.resume_epoch,
        spec=job.spec,
        class_weight_count=len(job.resolved_spec.get("class_weights") or ()),
        resolved={**shown_spec(job.resolved_spec), "threads": job.threads},
    )


def _entity_tag(listed: ListedJob) -> str:
    progress = listed.progress
    updated_at = progress.updated_at.timestamp() if progress else 0
    job, resume_epoch = listed.job, listed.resume_epoch
    return f'W/"{job.revision}-{job.last_seq}-{job.phase}-{updated_at}-{resume_epoch}"'
