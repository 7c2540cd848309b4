"""`/v1/datasets`: upload an archive, list, read and delete."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.accounts.authentication import Principal, authenticate, needs
from app.accounts.tables import MemberRole
from app.core.context import TAKES_SPACE, InContext
from app.core.declared_headers import declared
from app.core.errors import BadRequest
from app.core.pages import Cursor, Page, PageSize
from app.core.path_prefix import link
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute, parse_json
from app.core.tasks import Task
from app.core.text_fields import plain_text
from app.core.words import beginnings_of
from app.datasets.dataset_pages import (
    DatasetFilter,
    DatasetOrder,
    counts_by_state,
    dataset_page,
    jobs_of_datasets,
)
from app.datasets.errors import DatasetNotFound, NotAnArchive
from app.datasets.http.parameters import DatasetReference
from app.datasets.http.views import DatasetPage, DatasetRow, DatasetView, ReportView
from app.datasets.remove_dataset import remove_dataset
from app.datasets.reports.class_options import ClassMap, Colours
from app.datasets.reports.report import ImportOptions
from app.datasets.repository import visible_dataset, visible_row
from app.datasets.submit_version import (
    FileChanges,
    Submission,
    SubmittedVersion,
    check_upload_quotas,
    derive_version,
    submit_version,
)
from app.datasets.tables import VersionState
from app.uploads.body import LIMITED_HERE, announced_bytes
from app.uploads.chunks import NamedUpload
from app.uploads.receive import spooled

Reader = Annotated[Principal, Depends(needs("datasets:read"))]
Writer = Annotated[Principal, Depends(needs("datasets:write"))]
NAME_PATTERN: Final = r"^\w[\w .,()+@-]*$"
DatasetName = Annotated[str, BeforeValidator(plain_text)]
"""A name that a user gives. The pattern's `\\w` includes marks and fillers that are invisible."""

BODY_TYPES: Final = (
    *("application/zip", "application/x-tar", "application/gzip"),
    "application/octet-stream",
)
"""What the OpenAPI document declares; some generators of clients know only the last one."""
ARCHIVE_TYPES: Final = frozenset(BODY_TYPES) | {
    "",
    "application/x-zip",
    "application/x-zip-compressed",
    "application/tar",
    "application/x-gtar",
    "application/x-tgz",
    "application/tar+gzip",
    "application/x-gzip",
    "application/x-compressed",
    "application/x-compressed-tar",
    "application/x-bzip2",
    "application/x-bzip-compressed-tar",
    "application/x-xz",
    "application/x-xz-compressed-tar",
}
ARCHIVE_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            name: {"schema": {"type": "string", "format": "binary"}} for name in BODY_TYPES
        },
    }
}


def made_answers(description: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of a version that is made, or that existed already (200)."""
    location = declared("Location")
    existed = {"model": DatasetView, "description": description, **location}
    return {200: existed, 202: location}


router = APIRouter(
    prefix="/v1/datasets",
    tags=["datasets"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)


def _parsed(value: object) -> object:
    """Read an option that is JSON in a query parameter."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value.encode())
    except BadRequest:
        text = "The text of a JSON object with different keys is expected."
        raise PydanticCustomError("json-text", text) from None


JSON_TEXT: Final = (
    BeforeValidator(_parsed),
    WithJsonSchema({"type": "string", "contentMediaType": "application/json"}),
)


class UploadQuery(ImportOptions):
    """The dataset that an archive is uploaded to, and how the archive is read."""

    name: DatasetName = Field(
        min_length=1,
        max_length=200,
        pattern=NAME_PATTERN,
        description="Name of the dataset. An existing dataset gets a new version.",
    )
    project: str = Field(
        default="default", max_length=200, description="Project that owns the dataset."
    )
    class_map: Annotated[ClassMap, *JSON_TEXT] | None = Field(
        default=None,
        description="JSON object: the new name of a class by its name in the archive; null drops "
        "the objects of a class.",
    )
    colours: Annotated[Colours, *JSON_TEXT] | None = Field(
        default=None,
        description="JSON object: for masks of colours, [red, green, blue] (0 to 255) by class "
        "name, in class order.",
    )

    def options(self) -> ImportOptions:
        """Return how the archive is read."""
        return ImportOptions.model_validate(self.model_dump(exclude={"name", "project"}))


class NewVersionBody(ImportOptions):
    """From what the next version is made, and how it is read.

    Without `upload` and `removed`, the archive of a version is read again. With them, the new
    version has the files of a ready version with these changes.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"policy": "strict", "class_map": {"scratches": "scratch"}},
                {"upload": "upl_01JZ8QD3W5X0A1B2C3D4E5F6G7", "removed": ["images/train/a.jpg"]},
            ]
        }
    )

    version: str | None = Field(
        default=None,
        max_length=40,
        description="Id of the version that it is made from (dsv_…). Default: the newest.",
        examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    upload: str | None = Field(
        default=None,
        max_length=40,
        description="Id of a finished upload (upl_…): an archive with files to add, or that "
        "replace files of the same paths, such as images/train/a.jpg and labels/train/a.txt.",
        examples=["upl_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    removed: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(
        default=[],
        max_length=10_000,
        description="Paths in the version that the new one lacks, such as images/train/a.jpg. The "
        "label of a removed image is removed too.",
        examples=[["images/train/a.jpg"]],
    )

    def options(self) -> ImportOptions:
        """Return how the files are read."""
        own = {"version", "upload", "removed"}
        return ImportOptions.model_validate(self.model_dump(exclude=own))


class DatasetListQuery(BaseModel):
    """Filters and page of a list of datasets."""

    project: str | None = Field(
        default=None, max_length=200, description="Only datasets of the project with this name."
    )
    name: str | None = Field(
        default=None,
        max_length=200,
        pattern=NAME_PATTERN,
        description="Only datasets with exactly this name.",
    )
    q: DatasetName | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Only datasets whose name has words that begin with each word of this text. "
        "Case does not matter.",
    )
    state: VersionState | None = Field(
        default=None, description="Only datasets whose newest version has this state."
    )
    task: Task | None = Field(
        default=None, description="Only datasets whose newest version is, or is declared, for it."
    )
    sort: Literal["-created", "created", "name", "-name"] = Field(
        default="-created", description="The order; `-` is descending."
    )
    counts: bool = Field(default=False, description="true: also count the datasets by state.")
    cursor: Cursor = None
    limit: PageSize = 50


@router.post(
    "",
    status_code=202,
    responses=responses_for(409, 413, 415, 507)
    | made_answers("A valid version already has these bytes."),
    openapi_extra=ARCHIVE_BODY,
    dependencies=TAKES_SPACE,
    max_body_size=LIMITED_HERE,
)
async def upload_dataset(
    request: Request,
    response: Response,
    context: InContext,
    principal: Writer,
    query: Annotated[UploadQuery, Query()],
) -> DatasetView:
    """Upload a zip or tar as the body (`curl -T`). It is verified afterwards; poll its state."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ARCHIVE_TYPES:
        raise NotAnArchive
    submission = Submission(
        project_id=principal.project_id(
            query.project, pointer="query/project", role=MemberRole.MEMBER
        ),
        owner_id=principal.user_id,
        name=query.name,
        options=query.options(),
    )
    announced = announced_bytes(request) or 0
    await run_in_threadpool(check_upload_quotas, context, submission, announced)
    async with spooled(request, context) as archive:
        submitted = await run_in_threadpool(submit_version, context, submission, archive)
    return answer(response, submitted, principal)


@router.get("")
def list_datasets(
    context: InContext, principal: Reader, query: Annotated[DatasetListQuery, Query()]
) -> DatasetPage:
    """List datasets with their newest version, newest dataset first unless `sort` is given."""
    order = DatasetOrder("name" if query.sort.endswith("name") else "created", query.sort[0] == "-")
    kind = f"datasets:{query.sort}"
    after = context.cursors.open(kind, query.cursor) if query.cursor else None
    project_ids = principal.project_ids
    if query.project is not None:
        project_ids = frozenset({principal.project_id(query.project, pointer="query/project")})
    filters = DatasetFilter(query.name, query.state, query.task, beginnings_of(query.q or ""))
    with context.database.read() as unit:
        found = dataset_page(
            unit.session, project_ids, filters, order=order, after=after, limit=query.limit + 1
        )
        jobs = jobs_of_datasets(unit.session, [it.dataset.id for it in found])
        counts = counts_by_state(unit.session, project_ids, filters) if query.counts else None
    names = principal.project_names
    page = Page.of(
        found,
        query.limit,
        seal=lambda listed: context.cursors.seal(kind, order.position(listed.dataset)),
        view=lambda listed: DatasetRow.counted(listed, names, jobs=jobs[listed.dataset.id]),
    )
    return DatasetPage(
        **dict(page),
        counts=None if counts is None else dict(counts.numbers),
        counts_capped=None if counts is None else [*counts.capped],
    )


@router.get("/{reference}", responses=responses_for(404))
def read_dataset(reference: DatasetReference, context: InContext, principal: Reader) -> DatasetView:
    """Read a dataset with its newest version (`ds_…`), or with one version (`dsv_…`)."""
    with context.database.read() as unit:
        listed = visible_row(unit.session, principal.project_ids, reference)
    return DatasetView.of(listed, principal.project_names)


@router.get("/{reference}/report", responses=responses_for(404))
def read_report(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    version: Annotated[
        str | None,
        Query(max_length=40, description="Id of a version (dsv_…). Default: the newest."),
    ] = None,
) -> ReportView:
    """Read the report of a version's verification: code, file and line of each finding."""
    with context.database.read() as unit:
        listed = visible_dataset(unit.session, principal.project_ids, version or reference)
    if reference not in {listed.dataset.id, listed.version.id}:
        raise DatasetNotFound
    return ReportView.of(listed)


@router.post(
    "/{reference}/versions",
    status_code=202,
    responses=responses_for(404, 409, 410, 413, 415, 507)
    | made_answers("A valid version was made in this way."),
    dependencies=TAKES_SPACE,
)
def create_dataset_version(
    reference: DatasetReference,
    body: NewVersionBody,
    response: Response,
    context: InContext,
    principal: Writer,
) -> DatasetView:
    """Make the next version from another one: read with other options, or with other files."""
    named = (reference, body.version)
    upload = None
    if body.upload is not None:
        upload = NamedUpload(body.upload, principal)
    changes = FileChanges(upload, tuple(body.removed))
    submitted = derive_version(context, principal, named, body.options(), changes)
    return answer(response, submitted, principal)


@router.delete("/{reference}", status_code=204, responses=responses_for(404, 409, 507))
def delete_dataset(reference: DatasetReference, context: InContext, principal: Writer) -> None:
    """Delete a dataset with all its versions. Refused while a job refers to it."""
    remove_dataset(context, principal, reference)


def answer(response: Response, submitted: SubmittedVersion, principal: Principal) -> DatasetView:
    """Return the view of a submitted version; the status is 200 if it existed already."""
    dataset_id = submitted.listed.dataset.id
    response.headers["Location"] = link(f"/v1/datasets/{dataset_id}")
    if not submitted.created:
        response.status_code = 200
    return DatasetView.of(submitted.listed, principal.project_names)
