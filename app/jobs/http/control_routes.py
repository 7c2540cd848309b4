"""`/v1/jobs/{id}/…`: actions on an existing job. Every action is idempotent."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Header, Response

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import TAKES_SPACE, Context, InContext
from app.core.declared_headers import declared
from app.core.path_prefix import link
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.jobs.commands import clone, extend
from app.jobs.commands.control import apply_user_event
from app.jobs.commands.extend import Extension
from app.jobs.commands.submit import Submitted
from app.jobs.http.job_views import JobView
from app.jobs.http.parameters import JobId
from app.jobs.http.status import job_status
from app.jobs.plan.views import PlanView
from app.jobs.states import JobEvent

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 404, 406, 409, 422, 503, 507),
)
Writer = Annotated[Principal, Depends(needs("jobs:write"))]
IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A retry with the same key and body returns the job of the first request.",
    ),
]
CREATED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": JobView,
        "description": "The job that an earlier request with this key created.",
        **declared("Location", "Idempotency-Replayed"),
    },
    201: declared("Location"),
}


@router.post("/cancel", status_code=202)
def cancel_job(job_id: JobId, context: InContext, principal: Writer) -> JobView:
    """Cancel a job. A waiting job ends at once, a running one within two seconds."""
    return _apply(context, principal, job_id, JobEvent.CANCEL)


@router.post("/pause", status_code=202)
def pause_job(job_id: JobId, context: InContext, principal: Writer) -> JobView:
    """Pause a job. It frees its slot; `resume` continues it from its last checkpoint."""
    return _apply(context, principal, job_id, JobEvent.PAUSE)


@router.post("/resume", status_code=202, responses=responses_for(429), dependencies=TAKES_SPACE)
def resume_job(job_id: JobId, context: InContext, principal: Writer) -> JobView:
    """Queue a paused job again, or withdraw a pending pause."""
    return _apply(context, principal, job_id, JobEvent.RESUME)


@router.post("/stop", status_code=202)
def stop_job(job_id: JobId, context: InContext, principal: Writer) -> JobView:
    """End a job early and keep its result. It succeeds with the `best.pt` trained so far."""
    return _apply(context, principal, job_id, JobEvent.STOP)


@router.post("/retry", status_code=202, responses=responses_for(429), dependencies=TAKES_SPACE)
def retry_job(job_id: JobId, context: InContext, principal: Writer) -> JobView:
    """Retry a failed or cancelled job, from its last checkpoint if it has one."""
    return _apply(context, principal, job_id, JobEvent.RETRY)


@router.delete("")
def delete_job(job_id: JobId, context: InContext, principal: Writer) -> JobView:
    """Move an ended job to the trash. It is deleted after `TRAINYARD_TRASH_DAYS`."""
    return _apply(context, principal, job_id, JobEvent.DELETE)


@router.post("/restore")
def restore_job(job_id: JobId, context: InContext, principal: Writer) -> JobView:
    """Restore a job from the trash, unchanged."""
    return _apply(context, principal, job_id, JobEvent.RESTORE)


@router.post(
    "/clone",
    status_code=201,
    responses=responses_for(413, 415, 429) | CREATED,
    dependencies=TAKES_SPACE,
)
def clone_job(
    job_id: JobId,
    response: Response,
    context: InContext,
    principal: Writer,
    changes: Annotated[
        dict[str, Any],
        Body(
            description="A JSON merge patch (RFC 7396) of the job's spec; null removes a field. "
            "With `amended: true`, the `amended` of the job's error is applied first.",
            examples=[{"name": "twice as long", "train": {"epochs": 200}}, {"amended": True}],
        ),
    ],
    idempotency_key: IdempotencyKeyHeader = None,
) -> JobView:
    """Submit a new job with this job's spec as submitted, changed by the merge patch.

    `{"amended": true}` submits what avoids the failure of a failed job.
    """
    submitted = clone.clone_job(
        context, principal, job_id, changes, idempotency_key=idempotency_key
    )
    return answer_made(context, principal, submitted, response)


@router.post(
    "/extend",
    status_code=201,
    responses=responses_for(413, 415, 429) | CREATED,
    dependencies=TAKES_SPACE,
)
def extend_job(
    job_id: JobId,
    extension: Extension,
    response: Response,
    context: InContext,
    principal: Writer,
    idempotency_key: IdempotencyKeyHeader = None,
) -> JobView:
    """Train an ended job for more epochs, as a new job."""
    submitted = extend.extend_job(
        context, principal, job_id, extension, idempotency_key=idempotency_key
    )
    return answer_made(context, principal, submitted, response)


@router.post("/extend/validate", responses=responses_for(413, 415, 429))
def validate_extension(
    job_id: JobId, extension: Extension, context: InContext, principal: Writer
) -> PlanView:
    """Plan an extension without submitting it. Makes the same checks and stores nothing."""
    resolution = extend.plan_extension(context, principal, job_id, extension)
    return PlanView.of(resolution.plan, resolution.spec)


def answer_made(
    context: Context, principal: Principal, submitted: Submitted, response: Response
) -> JobView:
    """Return a job that this request, or an earlier one with the same key, created."""
    response.headers["Location"] = link(f"/v1/jobs/{submitted.listed.job.id}")
    if submitted.replayed:
        response.status_code = 200
        response.headers["Idempotency-Replayed"] = "true"
    return job_status(context, principal, submitted.listed, submitted.slots)


def _apply(context: Context, principal: Principal, job_id: str, event: JobEvent) -> JobView:
    return job_status(context, principal, apply_user_event(context, principal, job_id, event))
