"""`/v1/jobs/{id}/…`: what the final validation of best.pt showed, and previews of plots."""

import zlib
from collections.abc import Sequence
from enum import IntEnum
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.artifacts.errors import ArtifactPreviewNotFound, CurvesNotFound, WorstImagesNotFound
from app.artifacts.names import CURVES, WORST_IMAGES, ArtifactKind, preview_name
from app.artifacts.plots import PREVIEW_WIDTH
from app.artifacts.repository import shown_artifact
from app.artifacts.validation import (
    CURVES_BYTES,
    MOST_WORST,
    SINGLE_CLASS,
    Curves,
    Kind,
    WorstImage,
)
from app.artifacts.worst_images import BundleReader
from app.core.context import InContext
from app.core.declared_headers import declared
from app.core.encodings import takes_gzip
from app.core.pages import Cursor, Page
from app.core.problems import responses_for
from app.core.ranges import (
    DOWNLOAD_PARAMETERS,
    UNCHANGED,
    Download,
    IfNoneMatch,
    download_answers,
    download_response,
    is_known,
)
from app.core.response_headers import IMMUTABLE
from app.core.storage import StoredBytesCorrupt
from app.core.strict_json import StrictRoute
from app.datasets.errors import UnknownClass
from app.datasets.repository import class_names
from app.jobs.http.parameters import FileName, JobId
from app.jobs.http.records.stored_files import stored_file
from app.jobs.http.records.validation_views import WorstImagesPage, WorstImageView, WorstPreviewView
from app.jobs.repository import visible_job
from app.jobs.tables import Job

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 404, 406, 410, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]
ArtifactReader = Annotated[Principal, Depends(needs("artifacts:read"))]

SHOWN_BYTES: Final = 2 * CURVES_BYTES
"""The largest JSON of curves with the names of the classes."""
GZIP: Final = 31
PREVIEW_ANSWERS: Final = download_answers("image/jpeg")


class DigestQuery(BaseModel):
    """The preview that is expected."""

    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="As in the `href` of a preview: the answer then never changes, and is 404 if "
        "the preview is another one.",
    )


class PreviewWidth(IntEnum):
    """The widths of previews."""

    NORMAL = PREVIEW_WIDTH


class PlotPreviewQuery(DigestQuery):
    """The size of the preview, and the preview that is expected."""

    width: PreviewWidth = Field(
        default=PreviewWidth.NORMAL, description="Pixels that the preview is wide at most."
    )


class WorstImagesQuery(BaseModel):
    """The images to list."""

    class_name: str | None = Field(
        default=None,
        max_length=1000,
        alias="class",
        description="Only images with an error of this class, as truth or as prediction.",
    )
    kind: Kind | None = Field(
        default=None,
        description="Only images with an error of this kind: an object that was missed, a false "
        "prediction, or one at the right place of the wrong class.",
    )
    cursor: Cursor = None
    limit: int = Field(default=20, ge=1, le=MOST_WORST, description="Maximum number of images.")


@router.get(
    "/curves",
    response_model=Curves,
    responses={200: declared("ETag"), **UNCHANGED},
)
def read_curves(
    job_id: JobId,
    request: Request,
    context: InContext,
    principal: Reader,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read curves and confusion matrix of best.pt, as its final validation computed them.

    They are sent as they are stored, in gzip, to clients that read it.
    """
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        row = shown_artifact(unit.session, job_id, ArtifactKind.VALIDATION, CURVES)
    if row is None:
        raise CurvesNotFound
    file = stored_file(context, row)
    etag = f'W/"{row.sha256}"'  # weak: of both encodings
    headers = {"ETag": etag, "Vary": "Accept-Encoding"}
    if is_known(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    packed = b"".join(file.read(0, file.size_bytes))
    content = _unpacked(packed, row.sha256)
    if takes_gzip(request):
        headers["Content-Encoding"] = "gzip"
        content = packed
    return Response(content, headers=headers, media_type="application/json")


@router.get("/images/worst")
def list_worst_images(
    job_id: JobId,
    context: InContext,
    principal: Reader,
    query: Annotated[WorstImagesQuery, Query()],
) -> WorstImagesPage:
    """List the up to 100 worst validation images of best.pt, the worst first."""
    kind = f"worst:{job_id}:{query.kind}:{query.class_name}"
    start = int(context.cursors.open(kind, query.cursor)[0] or 0) if query.cursor else 0
    with context.database.read() as unit:
        job = visible_job(unit.session, principal.project_ids, job_id)
        row = shown_artifact(unit.session, job_id, ArtifactKind.VALIDATION, WORST_IMAGES)
        if row is None:
            raise WorstImagesNotFound
        names = (
            SINGLE_CLASS if _is_single(job) else class_names(unit.session, job.dataset_version_id)
        )
    classes = _numbers_of(query.class_name, names)
    reader = BundleReader(context.store, row.sha256)
    worst = reader.images()
    fitting = [
        (number, image)
        for number, image in enumerate(worst.images)
        if any(image.has(each, query.kind) for each in classes)
    ]

    def view(numbered: tuple[int, WorstImage]) -> WorstImageView:
        number, image = numbered
        part = reader.previews[number] if number < len(reader.previews) else None
        preview = None if part is None else WorstPreviewView.of(job_id, number + 1, part)
        return WorstImageView.of(image, names, number=number + 1, preview=preview)

    rows = [each for each in fitting if each[0] >= start][: query.limit + 1]
    page = Page.of(
        rows,
        query.limit,
        seal=lambda numbered: context.cursors.seal(kind, [numbered[0] + 1]),
        view=view,
    )
    return WorstImagesPage.of_worst(worst, len(fitting), page)


@router.get(
    "/images/worst/{image}/preview",
    response_class=Response,
    responses=PREVIEW_ANSWERS,
    openapi_extra=DOWNLOAD_PARAMETERS,
)
def read_worst_preview(
    job_id: JobId,
    image: Annotated[int, Path(ge=1, le=MOST_WORST, description="The `number` of the image.")],
    request: Request,
    context: InContext,
    principal: ArtifactReader,
    query: Annotated[DigestQuery, Query()],
) -> Response:
    """Read the preview of one of the worst images: a JPEG of at most 640 pixels per side."""
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        row = shown_artifact(unit.session, job_id, ArtifactKind.VALIDATION, WORST_IMAGES)
    if row is None:
        raise WorstImagesNotFound
    reader = BundleReader(context.store, row.sha256)
    part = reader.previews[image - 1] if image <= len(reader.previews) else None
    if part is None or query.sha256 not in {None, part.sha256}:
        raise ArtifactPreviewNotFound
    read = partial(reader.read, part)
    preview = Download(part.size, f'"{part.sha256}"', "image/jpeg", None, read)
    return _inline(request, preview, is_named=query.sha256 is not None)


@router.get(
    "/artifacts/{name}/preview",
    response_class=Response,
    responses=PREVIEW_ANSWERS,
    openapi_extra=DOWNLOAD_PARAMETERS,
)
def read_artifact_preview(
    job_id: JobId,
    name: FileName,
    request: Request,
    context: InContext,
    principal: ArtifactReader,
    query: Annotated[PlotPreviewQuery, Query()],
) -> Response:
    """Read the preview of a plot: a JPEG that is at most 520 pixels wide."""
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        row = shown_artifact(unit.session, job_id, ArtifactKind.PREVIEW, preview_name(name))
    if row is None or query.sha256 not in {None, row.sha256}:
        raise ArtifactPreviewNotFound
    stored = stored_file(context, row, media_type="image/jpeg")
    preview = Download(stored.size_bytes, stored.etag, stored.media_type, None, stored.read)
    return _inline(request, preview, is_named=query.sha256 is not None)


def _inline(request: Request, preview: Download, *, is_named: bool) -> Response:
    """Answer with a picture that a page may show; what its digest names never changes."""
    response = download_response(request, preview)
    response.headers["Content-Disposition"] = "inline"
    if is_named:
        response.headers["Cache-Control"] = IMMUTABLE
    return response


def _unpacked(packed: bytes, sha256: str) -> bytes:
    """Return the content of a gzip file, if it is not longer than curves can be.

    Raises:
        StoredBytesCorrupt: it is longer, or no gzip file.
    """
    unpacking = zlib.decompressobj(GZIP)
    try:
        content = unpacking.decompress(packed, SHOWN_BYTES)
    except zlib.error as error:
        raise StoredBytesCorrupt(sha256) from error
    if not unpacking.eof:
        raise StoredBytesCorrupt(sha256)
    return content


def _is_single(job: Job) -> bool:
    return bool((job.resolved_spec.get("train") or {}).get("single_cls"))


def _numbers_of(name: str | None, names: Sequence[str]) -> frozenset[int | None]:
    """Return the numbers of the classes with a name; None for any class.

    Raises:
        UnknownClass: the dataset has no such class.
    """
    if name is None:
        return frozenset({None})
    numbers = frozenset(number for number, each in enumerate(names) if each == name)
    if not numbers:
        raise UnknownClass(names)
    return numbers
