"""`/v1/datasets/{id}/versions`, `classes`, `files` and `diff`: what versions have."""

from itertools import chain, islice
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import Context, InContext
from app.core.declared_headers import declared
from app.core.pages import Cursor, Page, PageSize
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.datasets.dataset_pages import jobs_of_versions
from app.datasets.errors import (
    DatasetNotFound,
    DatasetNotReady,
    ManifestMissing,
    NoEarlierVersion,
)
from app.datasets.http.parameters import DatasetReference
from app.datasets.http.views import VersionRow
from app.datasets.reports.report import Change
from app.datasets.repository import (
    ListedDataset,
    class_names,
    version_page,
    visible_dataset,
    visible_row,
)
from app.datasets.stored.export import ExportFormat, export
from app.datasets.stored.file_bytes import VersionBytes
from app.datasets.stored.reading import ManifestReader, difference_page
from app.datasets.tables import DatasetVersion, VersionState

Reader = Annotated[Principal, Depends(needs("datasets:read"))]
VERSIONS: Final = "dataset-versions:-number"
CLASSES: Final = "dataset-classes:number"
FILES: Final = "dataset-files:path"
BINARY: Final = {"type": "string", "format": "binary"}
DIFFERENCES: Final = "dataset-differences:path"

router = APIRouter(
    prefix="/v1/datasets/{reference}",
    tags=["datasets"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 404, 406, 422, 503),
)

VersionId = Annotated[
    str | None, Field(max_length=40, description="Id of a version (dsv_…). Default: the newest.")
]


class PageQuery(BaseModel):
    """The page of a list."""

    cursor: Cursor = None
    limit: PageSize = 50


class FilesQuery(PageQuery):
    """The version whose files are listed, and the page."""

    version: VersionId = None


class DiffQuery(PageQuery):
    """The two versions that are compared, and the page."""

    before: VersionId = Field(
        default=None,
        max_length=40,
        description="Id of the earlier version (dsv_…). Default: the ready one before `after`.",
    )
    after: VersionId = Field(
        default=None,
        max_length=40,
        description="Id of the later version (dsv_…). Default: the newest ready one.",
    )


class ExportQuery(BaseModel):
    """The version that is exported, and the format."""

    version: VersionId = None
    format: ExportFormat = Field(
        default=ExportFormat.YOLO,
        description="yolo: images, labels and data.yaml as they are trained on. "
        "coco: images and one COCO JSON for each split.",
    )


class FileView(BaseModel):
    """A file of a version: an image, a label, a mask, a depth map, or the data.yaml."""

    path: str = Field(
        description="Path in the version, such as images/train/a.jpg.",
        examples=["images/train/a.jpg"],
    )
    sha256: str = Field(
        description="SHA-256 of the bytes, hex.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    size_bytes: int = Field(description="Size of the file.", examples=[214_318])
    width: int | None = Field(description="Width in pixels; null: not an image.", examples=[1920])
    height: int | None = Field(description="Height in pixels; null: not an image.", examples=[1080])
    label: str | None = Field(
        description="SHA-256 of an image's label, mask or depth map.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class ClassView(BaseModel):
    """A class of a version."""

    number: int = Field(description="The class in label files, from 0.", examples=[0])
    name: str = Field(description="Name of the class.", examples=["scratch"])


class DifferenceView(BaseModel):
    """An image, or the data.yaml, that two versions do not have in common."""

    path: str = Field(
        description="Path in the versions, such as images/train/a.jpg.",
        examples=["images/train/a.jpg"],
    )
    change: Change = Field(
        description="relabelled: the same image with another label.", examples=["replaced"]
    )
    before: str | None = Field(
        description="SHA-256 in the earlier version; null: not in it.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    after: str | None = Field(
        description="SHA-256 in the later version; null: not in it.",
        examples=["60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"],
    )


@router.get("/versions")
def list_dataset_versions(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    query: Annotated[PageQuery, Query()],
) -> Page[VersionRow]:
    """List the versions of a dataset, the newest first; `changes` has what is new in each."""
    kind = f"{VERSIONS}:{reference}"
    after = context.cursors.open(kind, query.cursor)[0] if query.cursor else None
    before = None if after is None else int(str(after))
    with context.database.read() as unit:
        dataset = visible_row(unit.session, principal.project_ids, reference).dataset
        rows = version_page(unit.session, dataset.id, before=before, limit=query.limit + 1)
        jobs = jobs_of_versions(unit.session, [version.id for version in rows])
    return Page.of(
        rows,
        query.limit,
        seal=lambda version: context.cursors.seal(kind, [version.number]),
        view=lambda version: VersionRow.counted(
            ListedDataset(dataset, version), principal.project_names, jobs=jobs[version.id]
        ),
    )


@router.get("/classes")
def list_classes(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    query: Annotated[FilesQuery, Query()],
) -> Page[ClassView]:
    """List the classes of a version in class order; none until the version is verified."""
    with context.database.read() as unit:
        listed = visible_row(unit.session, principal.project_ids, query.version or reference)
        if reference not in {listed.dataset.id, listed.version.id}:
            raise DatasetNotFound
        names = class_names(unit.session, listed.version.id)
    kind = f"{CLASSES}:{listed.version.id}"
    start = int(str(context.cursors.open(kind, query.cursor)[0])) if query.cursor else 0
    rows = [*enumerate(names)][start : start + query.limit + 1]
    return Page.of(
        rows,
        query.limit,
        seal=lambda row: context.cursors.seal(kind, [row[0] + 1]),
        view=lambda row: ClassView(number=row[0], name=row[1]),
    )


@router.get("/files", responses=responses_for(409, 410))
def list_files(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    query: Annotated[FilesQuery, Query()],
) -> Page[FileView]:
    """List the files of a ready version, sorted by path."""
    version = _ready_version(context, principal, reference, query.version)
    kind = f"{FILES}:{version.id}"
    offset = int(str(context.cursors.open(kind, query.cursor)[0])) if query.cursor else 0
    reader = ManifestReader(context.store, version, offset)
    files, ends = [], []
    for file in islice(reader, query.limit):
        files.append(
            FileView(
                path=file.path,
                sha256=file.sha256,
                size_bytes=file.size,
                width=file.width,
                height=file.height,
                label=file.label,
            )
        )
        ends.append(reader.offset)
    has_more = bool(ends) and ends[-1] < (version.manifest_bytes or 0)
    cursor = context.cursors.seal(kind, [ends[-1]]) if has_more else None
    return Page(data=files, next=cursor, has_more=has_more)


@router.get("/diff", responses=responses_for(409, 410))
def compare_dataset_versions(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    query: Annotated[DiffQuery, Query()],
) -> Page[DifferenceView]:
    """List the images that two versions do not have in common, sorted by path.

    A page may have fewer items than `limit`, or none, although more follow.
    """
    after = _ready_version(context, principal, reference, query.after)
    before = _ready_version(context, principal, reference, query.before, until=after)
    kind = f"{DIFFERENCES}:{before.id}:{after.id}"
    offsets = (0, 0)
    if query.cursor:
        first, second = context.cursors.open(kind, query.cursor)
        offsets = (int(str(first)), int(str(second)))
    page = difference_page(context.store, before, after, offsets=offsets, limit=query.limit)
    views = [
        DifferenceView(path=it.path, change=it.change, before=it.before, after=it.after)
        for it in page.differences
    ]
    cursor = None if page.offsets is None else context.cursors.seal(kind, [*page.offsets])
    return Page(data=views, next=cursor, has_more=cursor is not None)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses=responses_for(409, 410)
    | {
        200: {
            "description": "A zip.",
            "content": {"application/zip": {"schema": BINARY}},
            **declared("Content-Disposition"),
        }
    },
)
def export_dataset_version(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    query: Annotated[ExportQuery, Query()],
) -> StreamingResponse:
    """Download the files of a version as a zip; the same version always gives the same bytes."""
    version = _ready_version(context, principal, reference, query.version)
    source = VersionBytes(context.database, context.store, version)
    pieces = export(source, query.format)
    content = chain([next(pieces, b"")], pieces)  # the first piece shows what is missing
    name = f"{version.id}-{query.format}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(content, media_type="application/zip", headers=headers)


def _ready_version(
    context: Context,
    principal: Principal,
    reference: str,
    version_id: str | None,
    *,
    until: DatasetVersion | None = None,
) -> DatasetVersion:
    """Return the named version, or the newest ready one of the dataset, before `until`."""
    with context.database.read() as unit:
        listed = visible_dataset(unit.session, principal.project_ids, version_id or reference)
        if version_id is not None and reference not in {listed.dataset.id, listed.version.id}:
            raise DatasetNotFound
        version = listed.version
        if version_id is None and (until is not None or reference == listed.dataset.id):
            newest = version_page(
                unit.session,
                listed.dataset.id,
                before=None if until is None else until.number,
                limit=1,
                state=VersionState.READY,
            )
            if not newest and until is not None:
                raise NoEarlierVersion(until.id)
            version = next(iter(newest), version)
    if version.state is not VersionState.READY:
        raise DatasetNotReady(version.id, version.state)
    if version.manifest_bytes is None:
        raise ManifestMissing(version.id)
    return version
