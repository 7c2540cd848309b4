"""`/v1/jobs/{id}/artifacts`, `/artifacts.zip` and `/checkpoints`: the files of a job."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from app.accounts.authentication import Principal, authenticate, needs
from app.artifacts.errors import ArtifactBytesMissing, ArtifactNotFound, CheckpointNotFound
from app.artifacts.media_types import MEDIA_TYPES
from app.artifacts.names import STATE
from app.artifacts.repository import (
    artifact_named,
    artifacts_and_previews_of,
    artifacts_of,
    checkpoint_file,
    checkpoints_of,
)
from app.artifacts.tables import Artifact
from app.core.context import Context, InContext
from app.core.declared_headers import declared
from app.core.pages import WholeList
from app.core.problems import responses_for
from app.core.ranges import (
    DOWNLOAD_PARAMETERS,
    download_answers,
    download_response,
    file_headers,
    is_known,
)
from app.core.strict_json import StrictRoute
from app.core.zip_stream import zip_stream
from app.jobs.http.parameters import FileName, JobId
from app.jobs.http.records.file_views import ArtifactView
from app.jobs.http.records.made_files import (
    MADE,
    PROVENANCE,
    MadeFile,
    made_files,
    with_provenance,
)
from app.jobs.http.records.stored_files import stored_file
from app.jobs.repository import visible_job, visible_job_and_plan

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 404, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]
ArtifactReader = Annotated[Principal, Depends(needs("artifacts:read"))]
EpochNumber = Annotated[int, Path(ge=1, le=10**9, description="Epoch of the checkpoint, from 1.")]

FILE_ANSWERS: Final = download_answers(*MEDIA_TYPES)
ZIP: Final = "application/zip"
ZIP_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The zip, streamed.",
        "content": {ZIP: {"schema": {"type": "string", "format": "binary"}}},
        **declared("ETag", "Content-Disposition"),
    },
    304: {
        "description": "The caller's copy is current.",
        **declared("ETag", "Content-Disposition"),
    },
    **responses_for(410),
}


@router.get("/checkpoints")
def list_checkpoints(
    job_id: JobId, context: InContext, principal: Reader
) -> WholeList[ArtifactView]:
    """List the checkpoints that a job can resume from, newest epoch first.

    `links.download` has the current `best.pt` and `last.pt` while the job runs. Their `checks` are
    null: only final weights are proven in a clean process.
    """
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        rows = checkpoints_of(unit.session, job_id)
    return WholeList(data=[ArtifactView.of(row) for row in rows])


@router.head(
    "/checkpoints/{epoch}/{name}",
    response_class=Response,
    responses=FILE_ANSWERS,
    openapi_extra=DOWNLOAD_PARAMETERS,
)
@router.get(
    "/checkpoints/{epoch}/{name}",
    response_class=Response,
    responses=FILE_ANSWERS,
    openapi_extra=DOWNLOAD_PARAMETERS,
)
def download_checkpoint(
    job_id: JobId,
    epoch: EpochNumber,
    name: FileName,
    request: Request,
    context: InContext,
    principal: ArtifactReader,
) -> Response:
    """Download a file of a checkpoint, such as the current best.pt, or one range of it.

    A newer checkpoint replaces it: then this is 404, and …/checkpoints lists the current ones.
    """
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        row = None if name == STATE else checkpoint_file(unit.session, job_id, name, epoch)
    if row is None:
        raise CheckpointNotFound
    return download_response(request, stored_file(context, row))


@router.get("/artifacts")
def list_artifacts(job_id: JobId, context: InContext, principal: Reader) -> WholeList[ArtifactView]:
    """List a job's downloadable files, by name.

    `spec.json` and `plan.json` are always there, and `provenance.json` once the job has ended.
    """
    with context.database.read() as unit:
        job, plan = visible_job_and_plan(unit.session, principal.project_ids, job_id)
        rows = artifacts_and_previews_of(unit.session, job_id)
        stored = [row for row, _ in rows]
        made = with_provenance(unit, job, made_files(job, plan), stored)
    views = [ArtifactView.of(*row) for row in rows if row[0].name not in MADE]
    views += [ArtifactView.of_made(job_id, file) for file in made]
    return WholeList(data=sorted(views, key=lambda view: view.name))


@router.head("/artifacts.zip", response_class=Response, responses=ZIP_ANSWERS)
@router.get("/artifacts.zip", response_class=Response, responses=ZIP_ANSWERS)
def download_artifacts(
    job_id: JobId, request: Request, context: InContext, principal: ArtifactReader
) -> Response:
    """Download all files of a job as one zip, in the order of their names.

    Equal files give equal bytes. The ETag is that of their names and digests.
    """
    with context.database.read() as unit:
        job, plan = visible_job_and_plan(unit.session, principal.project_ids, job_id)
        rows = [row for row in artifacts_of(unit.session, job_id) if row.name not in MADE]
        made = with_provenance(unit, job, made_files(job, plan), rows)
    unordered: list[Artifact | MadeFile] = [*rows, *made]
    files = sorted(unordered, key=lambda file: file.name)
    listed = "".join(f"{file.sha256} {file.name}\n" for file in files)
    etag = f'"{hashlib.sha256(listed.encode()).hexdigest()}"'
    headers = file_headers(etag, f"{job_id}.zip")
    if is_known(etag, request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    _check_bytes(context, rows)
    if request.method == "HEAD":
        return Response(headers=headers, media_type=ZIP)
    return StreamingResponse(zip_stream(_members(context, files)), headers=headers, media_type=ZIP)


@router.head(
    "/artifacts/{name}",
    response_class=Response,
    responses=FILE_ANSWERS,
    openapi_extra=DOWNLOAD_PARAMETERS,
)
@router.get(
    "/artifacts/{name}",
    response_class=Response,
    responses=FILE_ANSWERS,
    openapi_extra=DOWNLOAD_PARAMETERS,
)
def download_artifact(
    job_id: JobId, name: FileName, request: Request, context: InContext, principal: ArtifactReader
) -> Response:
    """Download a file or one range of it. The ETag is the SHA-256 of the file."""
    with context.database.read() as unit:
        if name in MADE:
            job, plan = visible_job_and_plan(unit.session, principal.project_ids, job_id)
            made = made_files(job, plan)
            if name == PROVENANCE:
                made = with_provenance(unit, job, made, artifacts_of(unit.session, job_id))
            download = next((file.download() for file in made if file.name == name), None)
        else:
            visible_job(unit.session, principal.project_ids, job_id)
            artifact = artifact_named(unit.session, job_id, name)
            download = None if artifact is None else stored_file(context, artifact)
    if download is None:
        raise ArtifactNotFound
    return download_response(request, download)


def _check_bytes(context: Context, rows: Iterable[Artifact]) -> None:
    """Check that the bytes of all files are there, before the first of them is sent.

    Bytes that the collector of garbage has moved aside are put back.
    """
    if not all(context.store.restore(row.sha256) for row in rows):
        raise ArtifactBytesMissing


def _members(
    context: Context, files: Sequence[Artifact | MadeFile]
) -> Iterator[tuple[str, Iterable[bytes]]]:
    for file in files:
        if isinstance(file, MadeFile):
            yield file.name, [file.content]
        else:
            download = stored_file(context, file)
            yield file.name, download.read(0, download.size_bytes)
