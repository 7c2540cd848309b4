"""Metrics of one job and of several: by epoch, by class, and what the training used."""

import io
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BeforeValidator, ConfigDict, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import Context, InContext
from app.core.csv_tables import CsvTable
from app.core.declared_headers import declared
from app.core.errors import FieldError, Invalid
from app.core.media_types import preferred
from app.core.problems import responses_for
from app.core.ranges import UNCHANGED, IfNoneMatch, is_known
from app.core.strict_json import StrictRoute
from app.core.text_fields import plain_text
from app.datasets.repository import class_names
from app.jobs.class_metrics import class_series, epoch_classes, unpacked
from app.jobs.curves import (
    Curve,
    Selection,
    curve_sources,
    read_curves,
    system_of_epochs,
    tag_of_curves,
)
from app.jobs.errors import ClassMetricsNotFound, JobNotFound, SeriesTooLong
from app.jobs.http.parameters import JobId
from app.jobs.http.records.epoch_range import EpochRange, EpochRangeText
from app.jobs.http.records.metric_views import (
    ClassMetricsView,
    ClassSeriesView,
    ManyMetricsView,
    MetricsView,
    SystemView,
)
from app.jobs.repository import visible_job
from app.jobs.spec.base_model import SpecModel

MOST_JOBS: Final = 20
MOST_SERIES_BYTES: Final = 2_000_000
"""The longest response with the classes of several epochs."""
JSON: Final = "application/json"
CSV: Final = "text/csv"
CSV_EXAMPLE: Final = "epoch,metrics/mAP50(B)\n1,0.1\n2,0.2\n"

router = APIRouter(
    prefix="/v1",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]
Epoch = Annotated[int, Field(ge=0, le=10**9)]
TAGGED: Final[dict[int | str, dict[str, Any]]] = {200: declared("ETag"), **UNCHANGED}


def _split(values: object) -> object:
    """Return a list whose members may be several, separated by commas, without repetitions."""
    if not isinstance(values, list):
        return values
    return list(dict.fromkeys(part for value in values for part in str(value).split(",") if part))


class SystemQuery(SpecModel):
    """The epochs to return."""

    model_config = ConfigDict(strict=False)

    since: Annotated[Epoch, Field(description="Only epochs after this one.")] = 0
    until: Annotated[Epoch | None, Field(description="Only epochs up to this one.")] = None


class MetricsQuery(SystemQuery):
    """The epochs and series to return."""

    keys: Annotated[
        list[Annotated[str, Field(max_length=2000)]] | None,
        Field(
            max_length=200,
            description="A series to return; several as a list with commas, or by repeating it. "
            "Default: all series.",
        ),
    ] = None
    lineage: Annotated[
        bool, Field(description="true: include the epochs of the jobs that a job extends.")
    ] = False

    @property
    def selection(self) -> Selection:
        """The part of a curve that is asked for."""
        if self.keys is None:
            return Selection(None, self.since, self.until)
        # A plugin may have a series with a comma in its name, so the whole text counts too.
        names = {name for key in self.keys for name in (key, *key.split(","))}
        return Selection(frozenset(names), self.since, self.until)


class ClassMetricsQuery(SpecModel):
    """One epoch, or several."""

    model_config = ConfigDict(strict=False)

    epoch: Annotated[
        int | None,
        Field(ge=1, le=10**9, description="Default: the newest epoch with per-class metrics."),
    ] = None
    epochs: Annotated[
        EpochRangeText | None,
        Field(
            description="Several epochs, as columns: `all`, or a range such as `1-50`. The "
            f"response has at most {MOST_SERIES_BYTES} bytes."
        ),
    ] = None


class ManyMetricsQuery(MetricsQuery):
    """The jobs, epochs and series to return."""

    jobs: Annotated[
        list[Annotated[str, Field(max_length=40), BeforeValidator(plain_text)]],
        BeforeValidator(_split),
        Field(
            min_length=1,
            max_length=MOST_JOBS,
            description="Ids of jobs, as a list with commas, or by repeating it.",
            examples=[["job_a", "job_b"]],
        ),
    ]


@router.get("/metrics", response_model=ManyMetricsView, responses=TAGGED)
def read_metrics_of_jobs(
    context: InContext,
    principal: Reader,
    query: Annotated[ManyMetricsQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read the metrics of up to 20 jobs, as `/v1/jobs/{job_id}/metrics` has them of one.

    Ids that are not of a job in the caller's projects are in `missing`.
    """
    with context.database.read() as unit:
        sources = curve_sources(
            unit.session, principal.project_ids, query.jobs, lineage=query.lineage
        )
        headers = {"ETag": tag_of_curves(sources, query)}
        if is_known(headers["ETag"], if_none_match):
            return Response(status_code=304, headers=headers)
        curves = read_curves(unit.session, sources, query.selection)
    view = ManyMetricsView.model_construct(
        jobs={job_id: _view(curve, query) for job_id, curve in curves.items()},
        missing=[job_id for job_id in query.jobs if job_id not in curves],
    )
    return Response(view.model_dump_json(), media_type=JSON, headers=headers)


@router.get(
    "/jobs/{job_id}/metrics",
    response_model=MetricsView,
    responses={
        200: {
            "content": {CSV: {"schema": {"type": "string"}, "example": CSV_EXAMPLE}},
            **declared("ETag"),
        },
        **responses_for(404),
        **UNCHANGED,
    },
)
def read_metrics(
    job_id: JobId,
    context: InContext,
    principal: Reader,
    query: Annotated[MetricsQuery, Query()],
    accept: Annotated[str, Header(include_in_schema=False)] = JSON,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read the metrics of every finished epoch, as columns; as a table for `Accept: text/csv`."""
    media_type = preferred(accept, (JSON, CSV))
    with context.database.read() as unit:
        sources = curve_sources(
            unit.session, principal.project_ids, [job_id], lineage=query.lineage
        )
        if not sources:
            raise JobNotFound
        headers = {"ETag": tag_of_curves(sources, query, media_type)}
        if is_known(headers["ETag"], if_none_match):
            return Response(status_code=304, headers=headers)
        curve = read_curves(unit.session, sources, query.selection)[job_id]
    body = _as_csv(curve) if media_type == CSV else _view(curve, query).model_dump_json()
    return Response(body, media_type=media_type, headers=headers)


@router.get(
    "/jobs/{job_id}/metrics/classes",
    response_model=ClassMetricsView | ClassSeriesView,
    response_model_exclude_unset=True,
    responses=responses_for(404),
)
def read_class_metrics(
    job_id: JobId,
    context: InContext,
    principal: Reader,
    query: Annotated[ClassMetricsQuery, Query()],
) -> Any:  # noqa: ANN401 -- a view, or the bytes of one
    """Read the metrics of each class in one epoch, or in several as columns.

    Requires `customize.metrics.per_class`.
    """
    if query.epochs is not None:
        return Response(_class_series(context, principal, job_id, query), media_type=JSON)
    with context.database.read() as unit:
        job = visible_job(unit.session, principal.project_ids, job_id)
        row = epoch_classes(unit.session, job_id, query.epoch)
        if row is None:
            raise ClassMetricsNotFound(query.epoch)
        names = class_names(unit.session, job.dataset_version_id)
    return ClassMetricsView.of(row.epoch, unpacked(row.columns), names)


@router.get("/jobs/{job_id}/metrics/system", responses=responses_for(404))
def read_system_metrics(
    job_id: JobId,
    context: InContext,
    principal: Reader,
    query: Annotated[SystemQuery, Query()],
) -> SystemView:
    """Read what the training used in every finished epoch, as columns.

    The worker measures the trainer's processes and the GPUs of its slot once a second.
    """
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        return SystemView.of(
            system_of_epochs(unit.session, job_id, since=query.since, until=query.until)
        )


def _view(curve: Curve, query: MetricsQuery) -> MetricsView:
    return MetricsView.of(curve, lineage=query.lineage)


def _class_series(
    context: Context, principal: Principal, job_id: str, query: ClassMetricsQuery
) -> str:
    """Return the JSON of the classes in several epochs.

    Raises:
        Invalid: `epoch` was sent too, or the range ends before it begins.
        SeriesTooLong: it has more than `MOST_SERIES_BYTES`.
    """
    if query.epoch is not None:
        message = "Send epoch for one epoch, or epochs for several, not both."
        raise Invalid(message, errors=[FieldError("query/epoch", "epoch-and-epochs", message)])
    wanted = EpochRange.parse(query.epochs or "all", pointer="query/epochs")
    with context.database.read() as unit:
        job = visible_job(unit.session, principal.project_ids, job_id)
        # A value has two characters at least, so that more of them do not fit anyway.
        found = class_series(
            unit.session, job, first=wanted.first, last=wanted.last, most=MOST_SERIES_BYTES // 2
        )
    if found is None:
        raise ClassMetricsNotFound(wanted.first if wanted.first == wanted.last else None)
    body = ClassSeriesView.of(found).model_dump_json()
    if len(body) > MOST_SERIES_BYTES:
        fitting = max(1, len(found.epochs) * MOST_SERIES_BYTES // len(body))
        part = f"{wanted.first}-{wanted.first + fitting - 1}"
        raise SeriesTooLong(
            "query/epochs",
            f"The response would have more than {MOST_SERIES_BYTES} bytes. Ask for about "
            f"{fitting} epochs at once, such as epochs={part}.",
        )
    return body


def _as_csv(curve: Curve) -> str:
    text = io.StringIO()
    table = CsvTable(text)
    table.write(["epoch", *curve.series])
    for row in zip(curve.epochs, *curve.series.values(), strict=True):
        table.write(row)
    return text.getvalue()
