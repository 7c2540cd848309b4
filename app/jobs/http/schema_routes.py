"""`/v1/schema/job` and `/v1/jobs/parse`: what a form for jobs needs, and what people paste."""

from functools import cache
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.errors import BadRequest, TooLarge
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.core.tasks import Task
from app.jobs.http.schema_views import JobSchemaView, ParsedView
from app.jobs.parsing.translate import translate
from app.jobs.parsing.written import EXAMPLE, MAX_CHARACTERS, read_arguments
from app.uploads.body import LIMITED_HERE

MAX_BYTES: Final = 4 * MAX_CHARACTERS
"""Of a text with characters of four bytes each."""
TEXT_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "An args.yaml, a `yolo train …` command, or key=value pairs, in UTF-8.",
        "content": {
            "text/plain": {"schema": {"type": "string"}, "example": EXAMPLE},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""The type of the body is not read; some generators of clients know only bytes."""

router = APIRouter(
    prefix="/v1",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]


class JobSchemaQuery(BaseModel):
    """The task whose arguments are shown."""

    task: Task | None = Field(
        default=None, description="Only arguments and metrics of this task. Default: of all."
    )


@router.get("/schema/job")
def read_job_schema(_: Reader, query: Annotated[JobSchemaQuery, Query()]) -> JobSchemaView:
    """Show the training arguments by group with help, ranges and tasks, and the metrics."""
    return _schema_of(query.task)


@router.post(
    "/jobs/parse",
    responses=responses_for(413),
    openapi_extra=TEXT_BODY,
    max_body_size=LIMITED_HERE,
)
async def parse_job(request: Request, _: Reader) -> ParsedView:
    """Translate a training in Ultralytics' words into a job spec. Stores nothing."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BYTES:
            raise TooLarge(f"The text may have at most {MAX_BYTES} bytes.")
    return await run_in_threadpool(_parsed, bytes(body))


@cache
def _schema_of(task: Task | None) -> JobSchemaView:
    return JobSchemaView.of(task)


def _parsed(body: bytes) -> ParsedView:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.") from None
    return ParsedView.of(translate(read_arguments(text)))
