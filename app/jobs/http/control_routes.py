"""`/v1/jobs/{id}/…`: what is asked of a job that exists. Asking twice is no error."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Header, Response

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import Context, InContext
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.jobs.commands.clone import clone_job
from app.jobs.commands.control import apply_user_event
from app.jobs.commands.extend import Extension, extend_job, plan_extension
from app.jobs.commands.submit import Submitted
from app.jobs.http.status import job_status
from app.jobs.http.views import JobView
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
        description="The same key and body again answer with the same job.",
    ),
]
REPLAYED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": JobView, "description": "The job that the same key made before."}
}


@router.post("/cancel", status_code=202)
def cancel(job_id: str, context: InContext, principal: Writer) -> JobView:
    """Cancel a job: a waiting one at once, a running one within two seconds."""
    return _apply(context, principal, job_id, JobEvent.CANCEL)


@router.post("/pause", status_code=202)
def pause(job_id: str, context: InContext, principal: Writer) -> JobView:
    """Pause a job: it frees its slot, and goes on from its last checkpoint once it is resumed."""
    return _apply(context, principal, job_id, JobEvent.PAUSE)


@router.post("/resume", status_code=202)
def resume(job_id: str, context: InContext, principal: Writer) -> JobView:
    """Let a paused job wait for a slot again, or withdraw a pause that was asked for."""
    return _apply(context, principal, job_id, JobEvent.RESUME)


@router.post("/stop", status_code=202)
def stop(job_id: str, context: InContext, principal: Writer) -> JobView:
    """End a job early and keep its result: `best.pt` is handed out as if it had finished."""
    return _apply(context, principal, job_id, JobEvent.STOP)


@router.post("/retry", status_code=202)
def retry(job_id: str, context: InContext, principal: Writer) -> JobView:
    """Try a failed or cancelled job again, from its last checkpoint if there is one."""
    return _apply(context, principal, job_id, JobEvent.RETRY)


@router.delete("")
def move_to_trash(job_id: str, context: InContext, principal: Writer) -> JobView:
    """Move an ended job to the trash; after `TRAINYARD_TRASH_DAYS` its files are deleted."""
    return _apply(context, principal, job_id, JobEvent.DELETE)


@router.post("/restore")
def restore(job_id: str, context: InContext, principal: Writer) -> JobView:
    """Take a job out of the trash, as it was."""
    return _apply(context, principal, job_id, JobEvent.RESTORE)


@router.post("/clone", status_code=201, responses=responses_for(413, 415) | REPLAYED)
def clone(
    job_id: str,
    response: Response,
    context: InContext,
    principal: Writer,
    changes: Annotated[
        dict[str, Any],
        Body(
            description="A JSON merge patch (RFC 7396) of the job's spec; null takes a field out."
        ),
    ],
    idempotency_key: IdempotencyKeyHeader = None,
) -> JobView:
    """Submit a new job with the spec of this one as it was sent, changed as the body says."""
    submitted = clone_job(context, principal, job_id, changes, idempotency_key=idempotency_key)
    return answer_made(context, principal, submitted, response)


@router.post("/extend", status_code=201, responses=responses_for(413, 415) | REPLAYED)
def extend(
    job_id: str,
    asked: Extension,
    response: Response,
    context: InContext,
    principal: Writer,
    idempotency_key: IdempotencyKeyHeader = None,
) -> JobView:
    """Submit a new job that goes on from the training of an ended one, for more epochs."""
    submitted = extend_job(context, principal, job_id, asked, idempotency_key=idempotency_key)
    return answer_made(context, principal, submitted, response)


@router.post("/extend/validate", responses=responses_for(413, 415))
def validate_extension(
    job_id: str, asked: Extension, context: InContext, principal: Writer
) -> PlanView:
    """Plan an extension: the same checks as extending the job, and nothing is stored."""
    resolution = plan_extension(context, principal, job_id, asked)
    return PlanView.of(resolution.plan, resolution.spec)


def answer_made(
    context: Context, principal: Principal, submitted: Submitted, response: Response
) -> JobView:
    """Answer with a job that was made, now or by an earlier request with the same key."""
    response.headers["Location"] = f"/v1/jobs/{submitted.listed.job.id}"
    if submitted.replayed:
        response.status_code = 200
        response.headers["Idempotency-Replayed"] = "true"
    return job_status(context, principal, submitted.listed)


def _apply(context: Context, principal: Principal, job_id: str, event: JobEvent) -> JobView:
    return job_status(context, principal, apply_user_event(context, principal, job_id, event))
