"""`/v1/uploads`: resumable uploads by tus 1.0 (https://tus.io), and their list as JSON."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.accounts.tables import MemberRole
from app.core.context import Context, InContext
from app.core.declared_headers import declared
from app.core.errors import FieldError, InsufficientStorage, Invalid
from app.core.pages import Cursor, Page, PageSize
from app.core.path_prefix import link
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.uploads import headers
from app.uploads.body import LIMITED_HERE, announced_bytes, pieces
from app.uploads.chunks import Chunk, ChunkWriter, NamedUpload, look_up
from app.uploads.creation import begin_upload, remove_upload
from app.uploads.errors import (
    IncompleteUpload,
    NotAChunk,
    UnsupportedTusVersion,
    UploadInterrupted,
)
from app.uploads.repository import NewUpload, upload_page
from app.uploads.tables import Upload

Reader = Annotated[Principal, Depends(needs("datasets:read"))]
Writer = Annotated[Principal, Depends(needs("datasets:write"))]
UploadId = Annotated[
    str, Path(description="Id of the upload (upl_…).", examples=["upl_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
]
PAGE_KIND: Final = "uploads:-created"
PATIENCE_SECONDS: Final = 30.0
"""A request that sends nothing for this time ends, so that the client can continue in another."""
LIMITS: Final = ("Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm")
PROGRESS: Final = ("Upload-Offset", "Upload-Expires")
READ_ANSWERS: Final = {
    **responses_for(404, 410),
    200: declared(*PROGRESS, "Upload-Length", "Upload-Metadata"),
}
TUS_HEADER: Final[dict[str, Any]] = {
    "name": "Tus-Resumable",
    "in": "header",
    "required": True,
    "description": "Version of the protocol.",
    "schema": {"type": "string", "enum": [headers.VERSION]},
}
CHUNK_BODY: Final[dict[str, Any]] = {
    "parameters": [TUS_HEADER],
    "requestBody": {
        "required": True,
        "content": {headers.CHUNK_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
}


async def check_version(request: Request) -> None:
    """Refuse other versions of tus; only a GET, which tus does not use, needs no version.

    Raises:
        UnsupportedTusVersion: the header is missing or has another version.
    """
    sent = request.headers.get("tus-resumable")
    if sent != headers.VERSION and not (sent is None and request.method in {"GET", "OPTIONS"}):
        raise UnsupportedTusVersion(headers.VERSION)


async def refuse_deferred_length(request: Request) -> None:
    """Refuse an upload of unknown size, which this server could not admit.

    Raises:
        Invalid: the request has `Upload-Defer-Length`.
    """
    if "upload-defer-length" in request.headers:
        pointer = "header/Upload-Defer-Length"
        message = "The size must be known: send Upload-Length instead."
        error = FieldError(pointer, "unsupported", message)
        raise Invalid(f"{pointer}: {message}", errors=[error])


router = APIRouter(
    prefix="/v1/uploads",
    tags=["uploads"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate), Depends(check_version)],
    responses=responses_for(400, 401, 403, 406, 412, 422, 503),
)


class UploadView(BaseModel):
    """An upload: what arrived, and when it is removed unless more bytes arrive.

    `sha256` is null until all bytes arrived and are in the store. Then the upload can become a
    dataset.
    """

    id: str = Field(description="Id of the upload.", examples=["upl_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    filename: str = Field(
        description="Name of the file, as the client gave it.", examples=["night.zip"]
    )
    project: str = Field(
        description="Name of the project that it belongs to.", examples=["default"]
    )
    state: Literal["receiving", "finished"] = Field(
        description="`finished` when all bytes arrived and are stored.", examples=["receiving"]
    )
    size_bytes: int = Field(description="Announced size of the file.", examples=[734_003_200])
    offset_bytes: int = Field(description="Number of bytes that arrived.", examples=[104_857_600])
    sha256: str | None = Field(
        description="SHA-256 of the file, in hex. null: not finished.",
        examples=[None, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    created_at: datetime = Field(description="When it was created.")
    expires_at: datetime = Field(description="When it is removed, unless more bytes arrive.")
    links: dict[str, str] = Field(
        description="Paths that belong to it.",
        examples=[{"self": "/v1/uploads/upl_01JZ8QD3W5X0A1B2C3D4E5F6G7"}],
    )

    @classmethod
    def of(cls, upload: Upload, principal: Principal) -> Self:
        """Return the view of one upload."""
        return cls(
            id=upload.id,
            filename=upload.filename,
            project=principal.project_names[upload.project_id],
            state="receiving" if upload.sha256 is None else "finished",
            size_bytes=upload.size_bytes,
            offset_bytes=upload.offset_bytes,
            sha256=upload.sha256,
            created_at=upload.created_at,
            expires_at=upload.expires_at,
            links={"self": link(f"/v1/uploads/{upload.id}")},
        )


class UploadListQuery(BaseModel):
    """The page of a list of uploads."""

    cursor: Cursor = None
    limit: PageSize = 50


@router.options("", status_code=204, responses={204: declared(*LIMITS)})
async def read_tus_options(context: InContext, principal: Reader) -> Response:
    """Report the version, the extensions and the limits of tus on this server, as headers."""
    del principal
    return Response(
        status_code=204,
        headers={
            "Tus-Extension": headers.EXTENSIONS,
            "Tus-Max-Size": str(context.settings.limits.dataset_archive_bytes),
            "Tus-Checksum-Algorithm": ",".join(headers.ALGORITHMS),
        },
    )


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(refuse_deferred_length)],
    responses=responses_for(409, 413, 429, 507) | {201: declared("Location", *PROGRESS)},
    openapi_extra={"parameters": [TUS_HEADER]},
)
def create_upload(
    response: Response,
    context: InContext,
    principal: Writer,
    upload_length: Annotated[
        headers.Length,
        Header(alias="Upload-Length", description="Size of the file in bytes."),
    ],
    upload_metadata: Annotated[
        str | None,
        Header(
            alias="Upload-Metadata",
            description="`filename` and `project`, each with its value in Base64.",
        ),
    ] = None,
) -> UploadView:
    """Create an upload (tus creation). Send its bytes with PATCH to the URL in `Location`."""
    metadata = headers.parse_metadata(upload_metadata)
    project = metadata.get("project") or "default"
    new = NewUpload(
        project_id=principal.project_id(
            project, pointer=headers.METADATA_POINTER, role=MemberRole.MEMBER
        ),
        owner_id=principal.user_id,
        filename=headers.filename_in(metadata),
        size_bytes=upload_length,
        sent_metadata=upload_metadata,
    )
    upload = begin_upload(context, new)
    response.headers.update(_progress(upload))
    response.headers["Location"] = link(f"/v1/uploads/{upload.id}")
    return UploadView.of(upload, principal)


@router.get("")
def list_uploads(
    context: InContext, principal: Reader, query: Annotated[UploadListQuery, Query()]
) -> Page[UploadView]:
    """List your uploads, newest first: unfinished ones, and finished ones until they expire."""
    after = context.cursors.open(PAGE_KIND, query.cursor) if query.cursor else None
    with context.database.read() as unit:
        found = upload_page(
            unit.session,
            principal.user_id,
            principal.project_ids,
            after=None if after is None else str(after[0]),
            limit=query.limit + 1,
        )
    return Page.of(
        found,
        query.limit,
        seal=lambda upload: context.cursors.seal(PAGE_KIND, [upload.id]),
        view=lambda upload: UploadView.of(upload, principal),
    )


@router.head("/{upload_id}", responses=READ_ANSWERS, openapi_extra={"parameters": [TUS_HEADER]})
@router.get("/{upload_id}", responses=READ_ANSWERS)
def read_upload(
    upload_id: UploadId, response: Response, context: InContext, principal: Reader
) -> UploadView:
    """Read an upload. `Upload-Offset` is the number of bytes that arrived."""
    upload = look_up(context, _named(upload_id, principal))
    response.headers.update(_progress(upload))
    response.headers["Upload-Length"] = str(upload.size_bytes)
    if upload.sent_metadata is not None:
        response.headers["Upload-Metadata"] = upload.sent_metadata
    return UploadView.of(upload, principal)


@router.patch(
    "/{upload_id}",
    status_code=204,
    responses=responses_for(404, 409, 410, 413, 415, 460, 507) | {204: declared(*PROGRESS)},
    openapi_extra=CHUNK_BODY,
    max_body_size=LIMITED_HERE,
)
async def append_to_upload(
    upload_id: UploadId,
    request: Request,
    context: InContext,
    principal: Writer,
    upload_offset: Annotated[
        headers.Offset,
        Header(
            alias="Upload-Offset",
            description="Offset of the first byte; all before it have arrived.",
        ),
    ],
    upload_checksum: Annotated[
        str | None,
        Header(
            alias="Upload-Checksum",
            description="`sha256`, `sha1` or `md5`, a space, and the digest in Base64.",
        ),
    ] = None,
) -> Response:
    """Send bytes of an upload (tus core). If the connection breaks, what arrived is kept."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != headers.CHUNK_TYPE:
        raise NotAChunk(headers.CHUNK_TYPE)
    checksum = headers.parse_checksum(upload_checksum)
    chunk = Chunk(upload_offset, announced_bytes(request), checksum)
    named = _named(upload_id, principal)
    upload = await run_in_threadpool(look_up, context, named)
    if upload.sha256 is None or chunk != Chunk(upload.size_bytes, 0, None):
        writer = await run_in_threadpool(ChunkWriter, context, named, chunk)
        try:
            upload = await _receive(context, request, writer)
        finally:
            writer.close()
    return Response(status_code=204, headers=_progress(upload))


@router.delete(
    "/{upload_id}",
    status_code=204,
    responses=responses_for(404, 409, 410, 507),
    openapi_extra={"parameters": [TUS_HEADER]},
)
def delete_upload(upload_id: UploadId, context: InContext, principal: Writer) -> Response:
    """Delete an upload (tus termination). Datasets that were made from it keep their bytes."""
    remove_upload(context, _named(upload_id, principal))
    return Response(status_code=204)


async def _receive(context: Context, request: Request, writer: ChunkWriter) -> Upload:
    try:
        async for piece in pieces(request, patience=PATIENCE_SECONDS):
            await run_in_threadpool(writer.write, piece)
            _check_running(context)
    except (IncompleteUpload, InsufficientStorage, UploadInterrupted):
        await run_in_threadpool(writer.keep)
        raise
    return await run_in_threadpool(writer.finish)


def _check_running(context: Context) -> None:
    if context.draining.is_set():
        raise UploadInterrupted


def _named(upload_id: str, principal: Principal) -> NamedUpload:
    return NamedUpload(upload_id, principal)


def _progress(upload: Upload) -> dict[str, str]:
    return {
        "Upload-Offset": str(upload.offset_bytes),
        "Upload-Expires": headers.http_date(upload.expires_at),
    }
