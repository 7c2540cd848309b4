"""`/v1/events/stream` and `/v1/jobs/{id}/events/stream`: what happens, as it happens."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import InContext
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.jobs.http.parameters import JobId
from app.jobs.repository import visible_job
from app.stream.items import View
from app.stream.messages import stream_answer
from app.stream.response import StreamResponse
from app.stream.room import Streams
from app.stream.watcher import Credential, CredentialKind, Watcher

router = APIRouter(
    prefix="/v1",
    tags=["events"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 422, 429, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]


class StreamQuery(BaseModel):
    """Where a stream begins."""

    after: str | None = Field(
        None,
        min_length=1,
        max_length=2000,
        description="The `id` of the last message that you have. What came after it is sent first. "
        "Default: only what happens from now on. The header Last-Event-ID counts more.",
    )


LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="The same as `after`. A browser sends it when it connects again.",
    ),
]


async def get_streams(request: Request) -> Streams:
    """Return the streams of this server. It is `async` so that it does not occupy a thread."""
    streams: Streams = request.app.state.streams
    return streams


InStreams = Annotated[Streams, Depends(get_streams)]


def _credential_of(principal: Principal) -> Credential:
    is_key = principal.session_id is None
    kind = CredentialKind.KEY if is_key else CredentialKind.SESSION
    return Credential(kind, principal.credential)


def find_job(
    job_id: Annotated[str, Path(description="Id of the job.")],
    context: InContext,
    principal: Reader,
) -> str:
    """Return the project of the job in the path."""
    with context.database.read() as unit:
        return visible_job(unit.session, principal.project_ids, job_id).project_id


async def take_place(principal: Reader, streams: InStreams) -> AsyncIterator[None]:
    """Count the stream from before its first byte until after its last."""
    with streams.places.taken(_credential_of(principal)):
        yield


@router.get(
    "/events/stream",
    response_class=Response,
    responses=stream_answer("hello", "tick", "event", "fleet", "dataset", "bye"),
    dependencies=[Depends(take_place)],
)
async def stream_events(
    principal: Reader,
    streams: InStreams,
    query: Annotated[StreamQuery, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """Follow everything that happens in your projects, as server-sent events.

    After `hello` comes the current state: running jobs, slots, queues and verifications. Then come
    the events that you missed, if you gave a position, and what happens from then on. Slots need
    the scope `workers:read`, and datasets `datasets:read`.
    """
    view = View.of(principal.project_ids, principal.scopes)
    watcher = Watcher(_credential_of(principal), view)
    start = streams.start_of(last_event_id or query.after)
    return StreamResponse(streams.follower.follow(watcher, start))


@router.get(
    "/jobs/{job_id}/events/stream",
    response_class=Response,
    responses=stream_answer("hello", "tick", "event", "bye") | responses_for(404),
    dependencies=[Depends(find_job), Depends(take_place)],
)
async def stream_job_events(
    job_id: JobId,
    project_id: Annotated[str, Depends(find_job)],
    principal: Reader,
    streams: InStreams,
    query: Annotated[StreamQuery, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """Follow one job: its progress and its events, as server-sent events."""
    view = View.of(principal.project_ids, principal.scopes, job_id)
    watcher = Watcher(_credential_of(principal), view, project_id=project_id)
    start = streams.start_of(last_event_id or query.after)
    return StreamResponse(streams.follower.follow(watcher, start))
