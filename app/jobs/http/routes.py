"""`/v1/jobs`: submit, list, read and change."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BeforeValidator, ConfigDict, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import TAKES_SPACE, InContext
from app.core.errors import FieldError, Invalid
from app.core.pages import Page, PageSize
from app.core.problems import responses_for
from app.core.ranges import is_known
from app.core.strict_json import StrictRoute
from app.core.text_fields import plain_text
from app.fleet.repository import live_workers
from app.jobs.commands.control import change_job
from app.jobs.commands.submit import submit_job, validate_job
from app.jobs.http.control_routes import REPLAYED, IdempotencyKeyHeader, answer_made
from app.jobs.http.status import job_status, read_status
from app.jobs.http.views import JobRow, JobView, QueueView
from app.jobs.plan.views import PlanView
from app.jobs.repository import JobFilter, JobOrder, job_page, queue_counts
from app.jobs.spec.base_model import SpecModel
from app.jobs.spec.job_spec import JobSpec, Tags
from app.jobs.spec.text_fields import Name, Notes
from app.jobs.states import JobState

router = APIRouter(
    prefix="/v1",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]
Writer = Annotated[Principal, Depends(needs("jobs:write"))]
Filter = Annotated[str, Field(max_length=200), BeforeValidator(plain_text)]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description='Change the job only if it still has this revision, for example `"3"`.',
    ),
]


class JobChange(SpecModel):
    """The fields of a job that can change at any time; omitted fields keep their value."""

    name: Name | None = None
    notes: Notes = ""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    tags: Tags = Field(default_factory=dict)


class JobListQuery(SpecModel):
    """Filters, order and page of a list of jobs."""

    model_config = ConfigDict(strict=False)

    state: Annotated[list[JobState], Field(max_length=6)] = Field(default_factory=list)
    project: Annotated[str | None, Field(max_length=200)] = None
    dataset: Filter | None = None
    model: Filter | None = None
    task: Filter | None = None
    name: Annotated[
        Filter | None, Field(description="Only jobs whose name begins with this text.")
    ] = None
    trashed: Annotated[
        bool, Field(description="true: only jobs in the trash. false: only jobs outside it.")
    ] = False
    tag: Annotated[
        list[Annotated[str, Field(pattern=r"^[^:\x00-\x1f]{1,63}:[^\x00-\x1f]{0,256}$")]],
        Field(
            max_length=10,
            description="Only jobs with this tag, as key:value. Repeat it to require several.",
        ),
    ] = Field(default_factory=list)
    sort: Literal["-created", "created", "-ended", "ended", "name", "-name"] = "-created"
    cursor: Annotated[str | None, Field(max_length=2000)] = None
    limit: PageSize = 50


@router.post(
    "/jobs",
    status_code=201,
    dependencies=TAKES_SPACE,
    responses=responses_for(409, 413, 415, 429, 507) | REPLAYED,
)
def submit(
    spec: JobSpec,
    response: Response,
    context: InContext,
    principal: Writer,
    idempotency_key: IdempotencyKeyHeader = None,
) -> JobView:
    """Submit a job. The job is stored durably before the response is sent."""
    submitted = submit_job(context, principal, spec, idempotency_key=idempotency_key)
    return answer_made(context, principal, submitted, response)


@router.post("/jobs/validate", responses=responses_for(409, 413, 415, 429))
def validate(spec: JobSpec, context: InContext, principal: Writer) -> PlanView:
    """Plan a job without submitting it. Makes the same checks and stores nothing."""
    resolution = validate_job(context, principal, spec)
    return PlanView.of(resolution.plan, resolution.spec)


@router.get("/jobs")
def list_jobs(
    context: InContext, principal: Reader, query: Annotated[JobListQuery, Query()]
) -> Page[JobRow]:
    """List jobs, newest first unless `sort` is given."""
    order = JobOrder(query.sort.lstrip("-"), query.sort.startswith("-"))
    kind = f"jobs:{query.sort}"
    after = context.cursors.open(kind, query.cursor) if query.cursor else None
    project_ids = principal.project_ids
    if query.project is not None:
        project_ids = frozenset({principal.project_id(query.project, pointer="query/project")})
    with context.database.read() as unit:
        found = job_page(
            unit.session,
            project_ids,
            _filter(query),
            order=order,
            after=after,
            limit=query.limit + 1,
        )
    names = principal.project_names
    return Page.of(
        found,
        query.limit,
        seal=lambda listed: context.cursors.seal(kind, order.position(listed.job)),
        view=lambda listed: JobRow.of(listed, names),
    )


@router.get(
    "/jobs/{job_id}",
    response_model=JobView,
    responses=responses_for(404) | {304: {"description": "Unchanged since that ETag."}},
)
async def read_job(
    job_id: str,
    context: InContext,
    principal: Reader,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Read a job's status. To poll, send the last ETag as If-None-Match."""
    status = await context.shared_reads.answer(
        ("job", job_id, principal.projects), lambda: read_status(context, principal, job_id)
    )
    headers = {"ETag": status.tag}
    if status.may_be_unchanged and is_known(status.tag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(status.body, media_type="application/json", headers=headers)


@router.patch("/jobs/{job_id}", responses=responses_for(404, 409, 412, 413, 415, 507))
def change(
    job_id: str,
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
    listed = change_job(
        context,
        principal,
        job_id,
        values=values,
        tags=dict(body.tags) if "tags" in sent else None,
        revision=_revision(if_match),
    )
    return job_status(context, principal, listed)


@router.get("/queues")
def list_queues(context: InContext, principal: Reader) -> Page[QueueView]:
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
    return Page(data=views, next=None, has_more=False)


def _filter(query: JobListQuery) -> JobFilter:
    pairs = [tag.partition(":") for tag in query.tag]
    return JobFilter(
        states=tuple(query.state),
        dataset=query.dataset,
        model=query.model,
        task=query.task,
        name_prefix=query.name,
        tags=tuple((key, value) for key, _, value in pairs),
        in_trash=query.trashed,
    )


def _revision(if_match: str | None) -> int | None:
    if if_match is None or if_match == "*":
        return None
    text = if_match.strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004
        message = 'If-Match must be a revision in quotes, for example "3".'
        raise Invalid(message, errors=[FieldError("header/If-Match", "if-match", message)])
    return int(text)
