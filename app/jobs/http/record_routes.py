"""`/v1/jobs/{id}/…`: metrics, events, logs, attempts, checkpoints and artifacts."""

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.artifacts.errors import ArtifactBytesMissing, ArtifactNotFound
from app.artifacts.repository import artifact_named, artifacts_of, checkpoints_of
from app.artifacts.tables import Artifact
from app.core.context import Context, InContext
from app.core.csv_tables import CsvTable
from app.core.database import UnitOfWork
from app.core.logging import get_logger
from app.core.media_types import preferred
from app.core.pages import Page, PageSize
from app.core.problems import responses_for
from app.core.ranges import Download, download_response
from app.core.strict_json import StrictRoute
from app.datasets.repository import class_names
from app.events.repository import events_after
from app.jobs.class_metrics import epoch_classes, unpacked
from app.jobs.errors import AttemptNotFound, ClassMetricsNotFound, PlanNotFound
from app.jobs.http.views import (
    ArtifactView,
    AttemptView,
    ClassMetricsView,
    ClassWeightView,
    EventView,
    LineageMetricsView,
    MetricsView,
)
from app.jobs.lineage import epochs_of_line, generations_of
from app.jobs.plan.views import PlanView
from app.jobs.repository import (
    attempts_of,
    epochs_after,
    log_bytes,
    log_size,
    visible_job,
    visible_job_and_plan,
)
from app.jobs.spec.base_model import SpecModel
from app.jobs.tables import Job

log = get_logger(__name__)

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 404, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]
ArtifactReader = Annotated[Principal, Depends(needs("artifacts:read"))]
TAIL_BYTES_PER_LINE = 512
LOG_NAME = "train.log"


class MetricsQuery(SpecModel):
    """The epochs and series to return."""

    model_config = ConfigDict(strict=False)

    keys: Annotated[
        list[Annotated[str, Field(max_length=100)]] | None,
        Field(
            max_length=200,
            description="A series to return. Repeat it for several. Default: all series.",
        ),
    ] = None
    since: Annotated[int, Field(ge=0, le=10**9, description="Only epochs after this one.")] = 0
    lineage: Annotated[
        bool, Field(description="true: include the epochs of the jobs that this job extends.")
    ] = False


class ClassWeightsQuery(BaseModel):
    """The page of a list."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(default=None, max_length=2000)
    limit: PageSize = 50


def _download_answers(media_type: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route that returns bytes, whole or by range."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {
        200: {"description": "The whole content.", "content": content},
        206: {"description": "The requested range.", "content": content},
        304: {"description": "The caller's copy is current."},
        **responses_for(410, 416),
    }


FILE_ANSWERS = _download_answers("application/octet-stream")
LOG_ANSWERS = _download_answers("text/plain")


@router.get(
    "/metrics",
    response_model=MetricsView | LineageMetricsView,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def read_metrics(
    job_id: str,
    context: InContext,
    principal: Reader,
    query: Annotated[MetricsQuery, Query()],
    accept: Annotated[str, Header(include_in_schema=False)] = "application/json",
) -> Any:  # noqa: ANN401 -- JSON or CSV
    """Read the metrics of every finished epoch, as columns; as a table for `Accept: text/csv`."""
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        if query.lineage:
            rows = epochs_of_line(unit.session, job_id, after=query.since)
            line = generations_of(unit.session, job_id)
            view: MetricsView = LineageMetricsView.of_line(rows, query.keys, line)
        else:
            rows = epochs_after(unit.session, job_id, epoch=query.since)
            view = MetricsView.of(rows, query.keys)
    if preferred(accept, ("application/json", "text/csv")) == "text/csv":
        return Response(_as_csv(view), media_type="text/csv")
    return view


@router.get("/plan")
def read_plan(job_id: str, context: InContext, principal: Reader) -> PlanView:
    """Read the plan that was made when the job was submitted."""
    with context.database.read() as unit:
        job, plan = visible_job_and_plan(unit.session, principal.project_ids, job_id)
    if plan is None:
        raise PlanNotFound
    return PlanView.stored(plan, job)


@router.get("/class-weights")
def list_class_weights(
    job_id: str,
    context: InContext,
    principal: Reader,
    query: Annotated[ClassWeightsQuery, Query()],
) -> Page[ClassWeightView]:
    """List the weights of the classes in the loss, in class order; none without class weights."""
    with context.database.read() as unit:
        job = visible_job(unit.session, principal.project_ids, job_id)
    kind = f"class-weights:{job_id}"
    start = int(str(context.cursors.open(kind, query.cursor)[0])) if query.cursor else 0
    weights = (job.resolved_spec.get("class_weights") or {}).items()
    return Page.of(
        [*enumerate(islice(weights, start, start + query.limit + 1), start)],
        query.limit,
        seal=lambda row: context.cursors.seal(kind, [row[0] + 1]),
        view=lambda row: ClassWeightView(name=row[1][0], weight=row[1][1]),
    )


@router.get("/metrics/classes", response_model_exclude_unset=True)
def read_class_metrics(
    job_id: str,
    context: InContext,
    principal: Reader,
    epoch: Annotated[
        int | None,
        Query(ge=1, le=10**9, description="Default: the newest epoch with per-class metrics."),
    ] = None,
) -> ClassMetricsView:
    """Read the metrics of each class in one epoch. Requires `customize.metrics.per_class`."""
    with context.database.read() as unit:
        job = visible_job(unit.session, principal.project_ids, job_id)
        row = epoch_classes(unit.session, job_id, epoch)
        if row is None:
            raise ClassMetricsNotFound(epoch)
        names = class_names(unit.session, job.dataset_version_id)
    return ClassMetricsView.of(row.epoch, unpacked(row.columns), names)


@router.get("/events")
def list_events(
    job_id: str,
    context: InContext,
    principal: Reader,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
    limit: PageSize = 50,
) -> Page[EventView]:
    """List a job's events, oldest first."""
    kind = f"events:{job_id}"
    seq = int(context.cursors.open(kind, cursor)[0] or 0) if cursor else 0
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        rows = events_after(unit.session, job_id, seq=seq, limit=limit + 1)
    return Page.of(
        rows,
        limit,
        seal=lambda row: context.cursors.seal(kind, [row.seq]),
        view=EventView.of,
    )


@router.get("/attempts")
def list_attempts(job_id: str, context: InContext, principal: Reader) -> Page[AttemptView]:
    """List a job's attempts, oldest first."""
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        rows = attempts_of(unit.session, job_id)
    return Page(data=[AttemptView.of(row) for row in rows], next=None, has_more=False)


@router.get("/checkpoints")
def list_checkpoints(job_id: str, context: InContext, principal: Reader) -> Page[ArtifactView]:
    """List the checkpoints that a job can resume from, newest epoch first."""
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        rows = checkpoints_of(unit.session, job_id)
    return Page(data=[ArtifactView.of(row) for row in rows], next=None, has_more=False)


@router.get("/artifacts")
def list_artifacts(job_id: str, context: InContext, principal: Reader) -> Page[ArtifactView]:
    """List a job's downloadable files, by name."""
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        rows = artifacts_of(unit.session, job_id)
    return Page(data=[ArtifactView.of(row) for row in rows], next=None, has_more=False)


@router.head("/artifacts/{name}", response_class=Response, responses=FILE_ANSWERS)
@router.get("/artifacts/{name}", response_class=Response, responses=FILE_ANSWERS)
def download_artifact(
    job_id: str, name: str, request: Request, context: InContext, principal: ArtifactReader
) -> Response:
    """Download a file or one range of it. The ETag is the SHA-256 of the file."""
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        artifact = artifact_named(unit.session, job_id, name)
    if artifact is None:
        raise ArtifactNotFound
    return download_response(request, _stored(context, artifact))


@router.get("/logs", response_class=Response, responses=LOG_ANSWERS)
def read_log(
    job_id: str,
    request: Request,
    context: InContext,
    principal: Reader,
    attempt: Annotated[
        int | None, Query(ge=1, le=10**6, description="Default: the newest attempt.")
    ] = None,
    tail: Annotated[
        int | None, Query(ge=1, le=100_000, description="Only this many last lines.")
    ] = None,
) -> Response:
    """Read the training log of an attempt, running or ended. `Range` selects a part."""
    with context.database.read() as unit:
        job = visible_job(unit.session, principal.project_ids, job_id)
        if attempt is not None and attempt > job.attempt:
            raise AttemptNotFound(attempt, job.attempt)
        download = _log(unit, context, job, attempt or job.attempt)
    if tail is None:
        return download_response(request, download)
    length = min(download.size_bytes, tail * TAIL_BYTES_PER_LINE)
    text = b"".join(download.read(download.size_bytes - length, length))
    last = b"".join(text.splitlines(keepends=True)[-tail:])
    return Response(last, media_type=download.media_type)


def _log(unit: UnitOfWork, context: Context, job: Job, attempt: int) -> Download:
    """Return the log: an artifact once the attempt has ended, before that the stored chunks."""
    artifact = _log_artifact(unit, job.id, attempt)
    if artifact is not None:
        stored = _stored(context, artifact)
        return Download(stored.size_bytes, stored.etag, "text/plain", None, stored.read)

    def read(start: int, length: int) -> Iterator[bytes]:
        with context.database.read() as later:
            chunk = log_bytes(later.session, job.id, attempt, start=start, length=length)
            # The attempt may have ended since its log was measured. Its chunks are then one file.
            whole = _log_artifact(later, job.id, attempt) if len(chunk) < length else None
        yield from [chunk] if whole is None else _stored(context, whole).read(start, length)

    size = log_size(unit.session, job.id, attempt)
    return Download(size, None, "text/plain", None, read)


def _log_artifact(unit: UnitOfWork, job_id: str, attempt: int) -> Artifact | None:
    """Return an attempt's whole log: `train.log` until a later attempt ends and takes that name."""
    names = (LOG_NAME, f"train.{attempt}.log")
    found = (artifact_named(unit.session, job_id, name) for name in names)
    return next((row for row in found if row is not None and row.attempt == attempt), None)


def _stored(context: Context, artifact: Artifact) -> Download:
    def read(start: int, length: int) -> Iterable[bytes]:
        try:
            return context.store.open_range(artifact.sha256, start, length)
        except FileNotFoundError:
            log.error("artifact.bytes_missing", artifact_id=artifact.id, sha256=artifact.sha256)  # noqa: TRY400 -- the cause is in the fields
            raise ArtifactBytesMissing from None

    return Download(
        size_bytes=artifact.size_bytes,
        etag=f'"{artifact.sha256}"',
        media_type="application/octet-stream",
        filename=artifact.name,
        read=read,
    )


def _as_csv(view: MetricsView) -> str:
    text = io.StringIO()
    table = CsvTable(text)
    table.write(["epoch", *view.series])
    for row in zip(view.epochs, *view.series.values(), strict=True):
        table.write(row)
    return text.getvalue()
