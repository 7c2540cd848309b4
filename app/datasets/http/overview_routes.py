"""`/v1/datasets/{id}/…`: samples with previews, statistics and duplicates of a version."""

from functools import partial
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import Context, InContext
from app.core.pages import Cursor, Page, PageSize
from app.core.problems import responses_for
from app.core.ranges import DOWNLOAD_PARAMETERS, Download, download_answers, download_response
from app.core.response_headers import IMMUTABLE
from app.core.strict_json import StrictRoute
from app.datasets.errors import DatasetNotFound, PreviewNotFound, UnknownClass
from app.datasets.http.overview_views import (
    DuplicatesPage,
    SamplesView,
    StatisticsView,
    reason_of,
)
from app.datasets.http.parameters import DatasetReference
from app.datasets.overview_reader import OverviewReader, PlacedGroup
from app.datasets.reports.report import Split
from app.datasets.repository import VERSION_PREFIX, ListedDataset, visible_dataset
from app.datasets.tables import DatasetVersion

Reader = Annotated[Principal, Depends(needs("datasets:read"))]

MAX_SAMPLES_AT_ONCE: Final = 100
MAX_SEED: Final = 2**63 - 1

router = APIRouter(
    prefix="/v1/datasets/{reference}",
    tags=["datasets"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 404, 406, 410, 422, 503),
)


class VersionQuery(BaseModel):
    """The version to read."""

    version: str | None = Field(
        default=None,
        max_length=40,
        description="Id of a version (dsv_…). Default: the newest.",
    )


class SamplesQuery(VersionQuery):
    """The samples to read."""

    split: Split | None = Field(default=None, description="Only images of this split.")
    class_name: str | None = Field(
        default=None,
        max_length=1000,
        alias="class",
        description="Only images that show this class.",
    )
    limit: int = Field(
        default=12, ge=1, le=MAX_SAMPLES_AT_ONCE, description="Maximum number of images."
    )
    seed: int = Field(
        default=1, ge=0, le=MAX_SEED, description="Another seed gives other images, if there are."
    )


class DuplicatesQuery(VersionQuery):
    """The kind and page of duplicates."""

    kind: Literal["exact", "near"] = Field(
        default="exact",
        description="exact: images with the same bytes. near: images that look alike.",
    )
    cursor: Cursor = None
    limit: PageSize = 50


@router.get("/samples", response_model_exclude_unset=True)
def read_samples(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    query: Annotated[SamplesQuery, Query()],
) -> SamplesView:
    """Read images with their objects. They were chosen by seed when the version was verified."""
    listed = _listed(context, principal, reference, query.version)
    overview = _overview(context, listed.version)
    if overview is None:
        return SamplesView.of(listed, 0, [])
    classes = _classes_named(listed.version, query.class_name)
    total, samples = overview.samples(query.split, classes, seed=query.seed, limit=query.limit)
    return SamplesView.of(listed, total, samples)


@router.get(
    "/previews/{number}",
    response_class=Response,
    responses=download_answers("image/jpeg"),
    openapi_extra=DOWNLOAD_PARAMETERS,
)
def read_preview(
    reference: DatasetReference,
    number: Annotated[int, Path(ge=0, le=10**6, description="As in the `href` of a sample.")],
    request: Request,
    context: InContext,
    principal: Reader,
) -> Response:
    """Read the preview of an image: a JPEG of at most 320 pixels per side."""
    listed = _listed(context, principal, reference, None)
    overview = _overview(context, listed.version)
    if overview is None:
        raise PreviewNotFound
    part = overview.preview(number)
    etag = f'"{listed.version.id}-{number}"'
    preview = Download(part.size, etag, "image/jpeg", None, partial(overview.read, part))
    response = download_response(request, preview)
    if reference.startswith(VERSION_PREFIX):
        response.headers["Cache-Control"] = IMMUTABLE
    return response


@router.get("/statistics")
def read_statistics(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    query: Annotated[VersionQuery, Query()],
) -> StatisticsView:
    """Read counts by class, implied class weights, histograms and positions of the objects."""
    listed = _listed(context, principal, reference, query.version)
    overview = _overview(context, listed.version)
    return StatisticsView.of(listed, None if overview is None else overview.statistics())


@router.get("/duplicates")
def list_duplicates(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    query: Annotated[DuplicatesQuery, Query()],
) -> DuplicatesPage:
    """List groups of images that have the same bytes or look alike, in and between splits."""
    listed = _listed(context, principal, reference, query.version)
    kind = f"duplicates:{listed.version.id}:{query.kind}"
    start = int(context.cursors.open(kind, query.cursor)[0] or 0) if query.cursor else 0
    overview = _overview(context, listed.version)
    if overview is None:
        return DuplicatesPage.of_version(listed, 0, Page(data=[], next=None, has_more=False))
    header = overview.header
    part = header.exact if query.kind == "exact" else header.near
    found = overview.groups(part, start=start, limit=query.limit + 1)

    def seal(placed: PlacedGroup) -> str:
        return context.cursors.seal(kind, [placed.end])

    page = Page.of(found, query.limit, seal=seal, view=lambda placed: placed.group)
    return DuplicatesPage.of_version(listed, part.groups, page)


def _listed(
    context: Context, principal: Principal, reference: str, version: str | None
) -> ListedDataset:
    with context.database.read() as unit:
        listed = visible_dataset(unit.session, principal.project_ids, version or reference)
    if reference not in {listed.dataset.id, listed.version.id}:
        raise DatasetNotFound
    return listed


def _overview(context: Context, version: DatasetVersion) -> OverviewReader | None:
    if reason_of(version) is not None or version.overview_sha256 is None:
        return None
    return OverviewReader(context.store, version.overview_sha256)


def _classes_named(version: DatasetVersion, name: str | None) -> frozenset[int] | None:
    if name is None:
        return None
    classes = version.classes or []
    numbers = frozenset(number for number, each in enumerate(classes) if each == name)
    if not numbers:
        raise UnknownClass(classes)
    return numbers
