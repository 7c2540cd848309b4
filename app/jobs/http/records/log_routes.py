"""`/v1/jobs/{id}/logs`: the log of an attempt, whole, by bytes, by lines, or searched."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import StreamingResponse

from app.accounts.authentication import Principal, authenticate, needs
from app.artifacts.repository import artifact_named
from app.artifacts.tables import Artifact
from app.core.context import Context, InContext
from app.core.database import UnitOfWork
from app.core.declared_headers import declared
from app.core.lines import LONGEST_SHOWN, LineIndex, LineMatches, LineQuery, pieces, search
from app.core.problems import responses_for
from app.core.ranges import DOWNLOAD_PARAMETERS, Download, download_answers, download_response
from app.core.response_headers import REVALIDATED, SANDBOX
from app.core.strict_json import StrictRoute
from app.core.text_fields import plain_text
from app.jobs.errors import AttemptNotFound
from app.jobs.http.parameters import JobId
from app.jobs.http.records.stored_files import stored_file
from app.jobs.log_reading import log_bytes, log_size
from app.jobs.repository import visible_job
from app.jobs.spec.base_model import SpecModel
from app.jobs.tables import Job

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 404, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]
LOG_NAME: Final = "train.log"
MATCHES: Final = 100
LINES: Final = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,8})?")


def _in_order(lines: str | None) -> str | None:
    first, _, last = (lines or "").partition("-")
    if last and int(first) > int(last):
        message = "The first line must not be greater than the last; write, for example, 401-800."
        raise PydanticCustomError("line_range", message)
    return lines


class LogQuery(SpecModel):
    """The attempt, and what to return of its log."""

    model_config = ConfigDict(strict=False)

    attempt: Annotated[
        int | None, Field(ge=1, le=10**6, description="Default: the newest attempt.")
    ] = None
    tail: Annotated[
        int | None, Field(ge=1, le=100_000, description="Only this many last lines.")
    ] = None
    lines: Annotated[
        str | None,
        Field(
            pattern=rf"^{LINES.pattern}$",
            description="Only these lines, counted from 1: `401-800`, or `401-` to the end. With "
            "`q`, the lines to search.",
            examples=["401-800"],
        ),
        AfterValidator(_in_order),
    ] = None
    q: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="Search for this text, and return the lines that contain it as JSON. "
            "ASCII letters match in either case.",
        ),
        BeforeValidator(plain_text),
    ] = None
    context: Annotated[
        int, Field(ge=0, le=10, description="With `q`: lines to show before and after each match.")
    ] = 0
    limit: Annotated[
        int, Field(ge=1, le=200, description="With `q`: maximum number of matches.")
    ] = MATCHES

    @model_validator(mode="after")
    def _check_combination(self) -> "LogQuery":
        if self.tail is not None and (self.lines is not None or self.q is not None):
            message = "Give either tail, or lines and q."
            raise PydanticCustomError("tail_and_lines", message)
        # Some programs send every default.
        if self.q is None and (self.context, self.limit) != (0, MATCHES):
            raise PydanticCustomError("search_without_text", "context and limit belong to q.")
        return self

    def span(self, count: int) -> tuple[int, int]:
        """Return the first and the last line to return, of a log that has `count` lines."""
        if self.tail is not None:
            return max(1, count - self.tail + 1), count
        found = LINES.fullmatch(self.lines or "1-")
        first, last = found.groups() if found else ("1", None)
        return int(first), min(count, int(last or count))


class LogLine(BaseModel):
    """One line of a log."""

    n: int = Field(description="Its number, from 1.", examples=[412])
    text: str = Field(
        description=f"Its first {LONGEST_SHOWN} characters.",
        examples=["Epoch 12/100: box_loss 1.21"],
    )
    match: bool = Field(
        description="false: it is shown as a neighbour of a match.", examples=[True]
    )


class LogMatches(BaseModel):
    """The lines of a log that contain a text, and those around them."""

    lines: list[LogLine] = Field(description="The lines in order.")
    more: bool = Field(
        description="Further lines may match: search again with `lines` from behind `searched_to`.",
        examples=[False],
    )
    searched_to: int = Field(description="The last line that was searched.", examples=[1377])

    @classmethod
    def of(cls, found: LineMatches) -> "LogMatches":
        """Return the view of what a search found."""
        lines = [LogLine(n=it.number, text=it.text, match=it.matches) for it in found.lines]
        return cls(lines=lines, more=found.more, searched_to=found.searched_to)


LOG_ANSWERS = download_answers("text/plain")
LOG_ANSWERS[200] |= {
    "model": LogMatches,
    **declared("ETag", "Accept-Ranges", "X-First-Line", "X-Lines"),
}


@router.get(
    "/logs", response_class=Response, responses=LOG_ANSWERS, openapi_extra=DOWNLOAD_PARAMETERS
)
def read_log(
    job_id: JobId,
    request: Request,
    context: InContext,
    principal: Reader,
    query: Annotated[LogQuery, Query()],
) -> Response:
    """Read the training log of an attempt, running or ended, or search it.

    `Range`, `tail` and `lines` select a part.
    """
    with context.database.read() as unit:
        job = visible_job(unit.session, principal.project_ids, job_id)
        if query.attempt is not None and query.attempt > job.attempt:
            raise AttemptNotFound(query.attempt, job.attempt)
        attempt = query.attempt or job.attempt
        download = _log(unit, context, job, attempt)
    if query.tail is None and query.lines is None and query.q is None:
        return download_response(request, download)
    index = context.line_indexes.index_of((job_id, attempt), download.size_bytes, download.read)
    return _selected(query, index, download)


def _selected(query: LogQuery, index: LineIndex, download: Download) -> Response:
    first, last = query.span(index.lines)
    start = index.offset_of(first, download.read)
    end = max(start, index.offset_of(last + 1, download.read))
    if query.q is not None:
        wanted = LineQuery(query.q, query.context, query.limit)
        found = search(wanted, download.read, first=first, start=start, end=end)
        body = LogMatches.of(found).model_dump_json()
        return Response(body, media_type="application/json")
    headers = {
        "Cache-Control": REVALIDATED,
        "Content-Security-Policy": SANDBOX,
        "Content-Length": str(end - start),
        "X-First-Line": str(first),
        "X-Lines": str(index.lines),
    }
    part = pieces(download.read, start, end - start)
    return StreamingResponse(part, headers=headers, media_type=download.media_type)


def _log(unit: UnitOfWork, context: Context, job: Job, attempt: int) -> Download:
    """Return the log: an artifact once the attempt has ended, before that the stored chunks."""
    artifact = _log_artifact(unit, job.id, attempt)
    if artifact is not None:
        stored = stored_file(context, artifact)
        return Download(stored.size_bytes, stored.etag, "text/plain", None, stored.read)

    def read(start: int, length: int) -> Iterator[bytes]:
        with context.database.read() as later:
            chunk = log_bytes(later.session, job.id, attempt, start=start, length=length)
            # The attempt may have ended since its log was measured. Its chunks are then one file.
            whole = _log_artifact(later, job.id, attempt) if len(chunk) < length else None
        yield from [chunk] if whole is None else stored_file(context, whole).read(start, length)

    size = log_size(unit.session, job.id, attempt)
    return Download(size, None, "text/plain", None, partial(pieces, read))


def _log_artifact(unit: UnitOfWork, job_id: str, attempt: int) -> Artifact | None:
    """Return an attempt's whole log: `train.log` until a later attempt ends and takes that name."""
    names = (LOG_NAME, f"train.{attempt}.log")
    found = (artifact_named(unit.session, job_id, name) for name in names)
    return next((row for row in found if row is not None and row.attempt == attempt), None)
