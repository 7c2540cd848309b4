"""`/v1/jobs`: submit, list, read and change."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ConfigDict, Field

from app.accounts.authentication import Principal, authenticate, caller_after_wait, needs
from app.accounts.keys import KeyScope
from app.core.context import TAKES_SPACE, Context, InContext
from app.core.declared_headers import declared
from app.core.omitted_fields import change_schema
from app.core.pages import WholeList
from app.core.problems import responses_for
from app.core.ranges import UNCHANGED, IfNoneMatch, is_known, revision_of
from app.core.strict_json import StrictRoute
from app.fleet.repository import live_workers
from app.jobs.commands import control, submit
from app.jobs.http.control_routes import CREATED, IdempotencyKeyHeader, answer_made
from app.jobs.http.job_views import JobView
from app.jobs.http.list_pages import read_page
from app.jobs.http.listing import JobListQuery, JobPage
from app.jobs.http.parameters import JobId
from app.jobs.http.queue_views import ForecastView, ValidatedJobView
from app.jobs.http.status import StatusAnswer, job_status, read_status
from app.jobs.http.views import QueueView
from app.jobs.http.waits import JobWaits, WaitQuery, WaitTarget
from app.jobs.plan.views import PlanView
from app.jobs.queue.forecast import forecast
from app.jobs.repository import queue_counts
from app.jobs.spec.base_model import SpecModel
from app.jobs.spec.job_spec import JobSpec, Tags
from app.jobs.spec.text_fields import Name, Notes

router = APIRouter(
    prefix="/v1",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]
Writer = Annotated[Principal, Depends(needs("jobs:write"))]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description='Change the job only if it still has this revision, for example `"3"`.',
    ),
]


class JobChange(SpecModel):
    """The fields of a job that can change at any time; omitted fields keep their value."""

    model_config = ConfigDict(
        json_schema_extra=change_schema(
            {"notes": "First run with the new camera.", "tags": {"line": "4"}}
        )
    )

    name: Name | None = Field(
        default=None,
        description="Its name, for people. null: none.",
        examples=["night shift, line 4"],
    )
    notes: Notes = Field(
        default="", description="Free text.", examples=["First run with the new camera."]
    )
    priority: Annotated[
        int,
        Field(
            ge=-100,
            le=100,
            description="A job with a higher priority is claimed first.",
            examples=[5],
        ),
    ] = 0
    tags: Tags = Field(
        default_factory=dict,
        description="All tags of the job from now on.",
        examples=[{"line": "4"}],
    )


@router.post(
    "/jobs",
    status_code=201,
    dependencies=TAKES_SPACE,
    responses=responses_for(409, 413, 415, 429, 507) | CREATED,
)
def submit_job(
    spec: JobSpec,
    response: Response,
    context: InContext,
    principal: Writer,
    idempotency_key: IdempotencyKeyHeader = None,
) -> JobView:
    """Submit a job. The job is stored durably before the response is sent."""
    submitted = submit.submit_job(context, principal, spec, idempotency_key=idempotency_key)
    return answer_made(context, principal, submitted, response)


@router.post("/jobs/validate", responses=responses_for(409, 413, 415, 429))
def validate_job(spec: JobSpec, context: InContext, principal: Writer) -> ValidatedJobView:
    """Plan a job without submitting it. Makes the same checks and stores nothing."""
    resolution = submit.validate_job(context, principal, spec)
    with context.database.read() as unit:
        expected = forecast(unit.session, principal.user_id, resolution)
    shows_slots = KeyScope.WORKERS_READ in principal.scopes
    return ValidatedJobView(
        **dict(PlanView.of(resolution.plan, resolution.spec)),
        queue=ForecastView.of(expected, shows_slots=shows_slots),
        spec=spec.model_dump(mode="json", exclude_unset=True),
    )


@router.get("/jobs", response_model=JobPage)
def list_jobs(
    context: InContext, principal: Reader, query: Annotated[JobListQuery, Query()]
) -> Response:
    """List jobs, newest first unless `sort` is given."""
    with context.database.read() as unit:
        page = read_page(unit, context, principal, query)
    return Response(page, media_type="application/json")


@router.get(
    "/jobs/{job_id}",
    response_model=JobView,
    responses=responses_for(404, 429) | {200: declared("ETag")} | UNCHANGED,
)
async def read_job(
    job_id: JobId,
    context: InContext,
    principal: Reader,
    request: Request,
    query: Annotated[WaitQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read a job's status. To poll, send the last ETag as If-None-Match, or let it wait."""
    status = await _status(context, principal, job_id)
    if query.wait and not _is_awaited(query.until, status, if_none_match):
        waits: JobWaits = request.app.state.job_waits
        await waits.wait(request, job_id, query.until, seen=status.mark, seconds=query.wait)
        status = await _status(context, await caller_after_wait(request, "jobs:read"), job_id)
    return status.response(if_none_match)


async def _status(context: Context, principal: Principal, job_id: str) -> StatusAnswer:
    return await context.shared_reads.answer(
        ("job", job_id, principal.projects), lambda: read_status(context, principal, job_id)
    )


def _is_awaited(until: WaitTarget, status: StatusAnswer, if_none_match: str | None) -> bool:
    """Return whether a status is already what the request would wait for."""
    if until is WaitTarget.CHANGED:
        return if_none_match is not None and not is_known(status.tag, if_none_match)
    return until.is_reached(status.mark, seen=status.mark)


@router.patch("/jobs/{job_id}", responses=responses_for(404, 409, 412, 413, 415, 507))
def change_job(
    job_id: JobId,
    body: JobChange,
    context: InContext,
    principal: Writer,
    if_match: IfMatch = None,
) -> JobView:
    """Change a job's name, tags, notes or priority."""
    sent = body.model_fields_set
    values: dict[str, Any] = {
        name: getattr(body, name) for name in ("notes", "priority") if name in sent
    }
    if "name" in sent:
        values["name"] = body.name or ""
    listed = control.change_job(
        context,
        principal,
        job_id,
        values=values,
        tags=dict(body.tags) if "tags" in sent else None,
        revision=revision_of(if_match),
    )
    return job_status(context, principal, listed)


@router.get("/queues")
def list_queues(context: InContext, principal: Reader) -> WholeList[QueueView]:
    """List the queues that contain jobs or that a live worker serves."""
    silent = context.settings.timing.worker_silence
    with context.database.read() as unit:
        counts = queue_counts(unit.session, principal.project_ids)
        workers = live_workers(unit.session, silent=silent)
    served = [queue for worker in workers for queue in worker.queues]
    views = [
        QueueView(
            name=name,
            queued=sum(n for queue, state, n in counts if (queue, state) == (name, "queued")),
            running=sum(n for queue, state, n in counts if (queue, state) == (name, "running")),
            workers=served.count(name),
        )
        for name in sorted({*served, *(queue for queue, _, _ in counts)})
    ]
    return WholeList(data=views)
