"""`/v1/events`: the event log by polling."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import Context, InContext
from app.core.declared_headers import declared
from app.core.pages import PageSize
from app.core.problems import responses_for
from app.core.ranges import UNCHANGED, IfNoneMatch, is_known
from app.core.strict_json import StrictRoute
from app.events.log import LogPage, PositionSeal, newest_sealed, read_log
from app.events.views import EventPage, event_item

DATASETS_SCOPE = "datasets:read"

router = APIRouter(
    prefix="/v1",
    tags=["events"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]


class EventsQuery(BaseModel):
    """Where to continue in the log."""

    after: str | None = Field(
        default=None,
        max_length=2000,
        description="The `next` of the page before, or the `id` of a row or of an event of the "
        "stream. Without it, the answer has no row, and `next` is the newest position.",
    )
    limit: PageSize = 50


@router.get(
    "/events",
    response_model=EventPage,
    responses={200: declared("ETag"), **UNCHANGED},
)
def poll_events(
    context: InContext,
    principal: Reader,
    query: Annotated[EventsQuery, Query()],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read what happened in your projects after a position, oldest first.

    Each row comes once, in the same order for everyone. Rows about datasets come only to keys with
    the scope `datasets:read`.
    """
    body = _page(context, principal, query).model_dump_json().encode()
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    if is_known(tag, if_none_match):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type="application/json", headers={"ETag": tag})


def _page(context: Context, principal: Principal, query: EventsQuery) -> EventPage:
    seal = PositionSeal(context.cursors)
    page, is_foreign = _read(context, principal, query, seal)
    names = principal.project_names
    sees_datasets = DATASETS_SCOPE in principal.scopes
    shown = [row for row in page.rows if row.job_id is not None or sees_datasets]
    return EventPage(
        data=[event_item(row, project=names[row.project_id], seal=seal) for row in shown],
        next=seal.seal(page.sealed_to),
        has_more=page.has_more,
        gap=page.gap or is_foreign,
    )


def _read(
    context: Context, principal: Principal, query: EventsQuery, seal: PositionSeal
) -> tuple[LogPage, bool]:
    """Return the page, and whether no server of this instance gave out the position."""
    after = None if query.after is None else seal.open(query.after)
    with context.database.read() as unit:
        if after is None:
            return LogPage((), newest_sealed(unit.session)), query.after is not None
        projects = principal.project_ids
        return read_log(unit.session, after, project_ids=projects, limit=query.limit), False
