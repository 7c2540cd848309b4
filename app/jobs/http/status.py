"""A job's status: its row, why it waits, and the entity tag for polling."""

from dataclasses import dataclass

from app.accounts.authentication import Principal
from app.core.context import Context
from app.core.database import UnitOfWork
from app.fleet.repository import live_workers
from app.jobs.http.views import JobRow, JobView
from app.jobs.life.claim import Demand, SlotOffer
from app.jobs.plan.views import shown_spec
from app.jobs.repository import ListedJob, lane_of, queue_position, visible_listed_job
from app.jobs.states import JobState
from app.quotas.lanes import limit_that_holds


@dataclass(frozen=True)
class StatusAnswer:
    """A status as bytes. A waiting job's queue position can change while its tag does not."""

    tag: str
    body: bytes
    may_be_unchanged: bool


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
    return StatusAnswer(_entity_tag(listed), body, may_be_unchanged=not waits)


def job_status(context: Context, principal: Principal, listed: ListedJob) -> JobView:
    """Return the status of a job that was just written."""
    with context.database.read() as unit:
        return _view(unit, context, principal, listed)


def _view(unit: UnitOfWork, context: Context, principal: Principal, listed: ListedJob) -> JobView:
    job = listed.job
    waits = job.state is JobState.QUEUED
    return JobView(
        **JobRow.fields_of(listed, principal.project_names),
        notes=job.notes,
        resume_epoch=listed.resume_epoch,
        queue_position=queue_position(unit.session, job) if waits else None,
        waiting_reason=_waiting_reason(unit, context, listed) if waits else None,
        spec=job.spec,
        class_weight_count=len(job.resolved_spec.get("class_weights") or ()),
        resolved={**shown_spec(job.resolved_spec), "threads": job.threads},
    )


def _waiting_reason(unit: UnitOfWork, context: Context, listed: ListedJob) -> str:
    job = listed.job
    silent = context.settings.timing.worker_silence
    demand, live = Demand.of(job), live_workers(unit.session, silent=silent)
    if not any(SlotOffer.of(worker).suits(demand) for worker in live):
        return "no_matching_worker"
    if job.not_before_at:
        return "backing_off"
    return limit_that_holds(unit.session, lane_of(job)) or "waiting_for_worker"


def _entity_tag(listed: ListedJob) -> str:
    progress = listed.progress
    updated_at = progress.updated_at.timestamp() if progress else 0
    job, resume_epoch = listed.job, listed.resume_epoch
    return f'W/"{job.revision}-{job.last_seq}-{job.phase}-{updated_at}-{resume_epoch}"'
