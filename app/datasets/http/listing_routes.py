"""`/v1/datasets/missing-files` and `from-files`: upload only what the project lacks."""

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.accounts.tables import MemberRole
from app.core.context import TAKES_SPACE, Context, InContext
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.datasets.http.routes import UploadQuery, Writer, answer, made_answers
from app.datasets.http.views import DatasetView
from app.datasets.reports.report import ImportOptions
from app.datasets.stored.listing import ListedFile, ListingInvalid, check_listing
from app.datasets.submit_listing import missing_files, submit_listing
from app.datasets.submit_version import Submission
from app.uploads.body import LIMITED_HERE
from app.uploads.chunks import NamedUpload
from app.uploads.errors import EmptyBody
from app.uploads.receive import spooled

Reader = Annotated[Principal, Depends(needs("datasets:read"))]
PIECE_BYTES: Final = 1024 * 1024
MAX_LISTING_BYTES: Final = 256 * 1024 * 1024
LINES: Final = "application/x-ndjson"
LINES_CONTENT: Final[dict[str, Any]] = {
    LINES: {
        "schema": {"type": "string", "format": "binary"},
        "example": '{"path": "images/train/a.jpg", "sha256": "9f86d081…", "size": 214318}\n',
    }
}
"""A schema would be that of one line, which programs would take for the whole."""
LISTING_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The files, one JSON object a line: path, sha256 and size.",
        "content": LINES_CONTENT,
    }
}

router = APIRouter(
    prefix="/v1/datasets",
    tags=["datasets"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 413, 422, 503, 507),
)


class MissingQuery(BaseModel):
    """The project whose files are looked up."""

    project: str = Field(default="default", max_length=200, description="Name of the project.")


class FromFilesQuery(UploadQuery):
    """The dataset, how its files are read, and the upload of those that the project lacks."""

    upload: str | None = Field(
        default=None,
        max_length=40,
        description="Id of a finished upload (upl_…): an archive with the files that the project "
        "lacks, under their paths in the list.",
    )

    def options(self) -> ImportOptions:
        """Return how the files are read."""
        own = {"name", "project", "upload"}
        return ImportOptions.model_validate(self.model_dump(exclude=own))


@router.post(
    "/missing-files",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The lines of the files that the project lacks.",
            "content": LINES_CONTENT,
        }
    },
    openapi_extra=LISTING_BODY,
    max_body_size=LIMITED_HERE,
)
async def find_missing_files(
    request: Request,
    context: InContext,
    principal: Reader,
    query: Annotated[MissingQuery, Query()],
) -> Response:
    """Return those of the listed files that no version of the project has."""
    project_id = principal.project_id(query.project, pointer="query/project")
    async with _listing(request, context) as listing:
        await run_in_threadpool(check_listing, listing)
        lacking = missing_files(context.database, project_id, listing)
        answered = await run_in_threadpool(_written, lacking, listing.parent)
    return StreamingResponse(_pieces_of(answered), media_type=LINES)


@router.post(
    "/from-files",
    status_code=202,
    dependencies=TAKES_SPACE,
    responses=responses_for(409, 410) | made_answers("A valid version was made from these files."),
    openapi_extra=LISTING_BODY,
    max_body_size=LIMITED_HERE,
)
async def create_dataset_from_files(
    request: Request,
    response: Response,
    context: InContext,
    principal: Writer,
    query: Annotated[FromFilesQuery, Query()],
) -> DatasetView:
    """Add a version with the listed files; `upload` has those that the project lacks."""
    submission = Submission(
        project_id=principal.project_id(
            query.project, pointer="query/project", role=MemberRole.MEMBER
        ),
        owner_id=principal.user_id,
        name=query.name,
        options=query.options(),
    )
    upload = None
    if query.upload is not None:
        upload = NamedUpload(query.upload, principal)
    async with _listing(request, context) as listing:
        submitted = await run_in_threadpool(submit_listing, context, submission, listing, upload)
    return answer(response, submitted, principal)


@asynccontextmanager
async def _listing(request: Request, context: Context) -> AsyncIterator[Path]:
    """Write the list in the body to a file, for the duration of the block."""
    try:
        async with spooled(request, context, max_bytes=MAX_LISTING_BYTES) as listing:
            yield listing
    except EmptyBody:
        raise ListingInvalid(1, "The list has no files.") from None


def _written(files: Iterator[ListedFile], folder: Path) -> BinaryIO:
    """Return an open file without a name, with the lines of the files."""
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 -- closed by `_pieces_of`
    for listed in files:
        line = json.dumps(listed.model_dump(), separators=(",", ":")).encode()
        file.write(line + b"\n")
    file.seek(0)
    return file


def _pieces_of(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece
