"""`/v1/jobs/{id}/…`: events and attempts."""

from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import ConfigDict, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import InContext
from app.core.errors import FieldError, Invalid
from app.core.pages import Cursor, Page, PageSize, WholeList
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.events.repository import EventFilter, events_page
from app.events.tables import Level
from app.jobs.http.parameters import JobId
from app.jobs.http.records.history_views import AttemptView, EventView
from app.jobs.repository import attempts_of, visible_job
from app.jobs.spec.base_model import SpecModel

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 404, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]
MOST_TYPES: Final = 20
_TYPE: Final = r"[a-z_]{1,40}(\.[a-z_]{1,40}){0,3}(\.\*)?"


class EventOrder(StrEnum):
    """The order of events."""

    OLDEST = "oldest"
    NEWEST = "newest"


class EventsQuery(SpecModel):
    """Filters, order and page of a list of events."""

    model_config = ConfigDict(strict=False)

    order: Annotated[EventOrder, Field(description="Which events come first.")] = EventOrder.OLDEST
    type: Annotated[
        str | None,
        Field(
            max_length=2000,
            pattern=f"^{_TYPE}(,{_TYPE})*$",
            description=f"Only these types: up to {MOST_TYPES} names with commas between them. "
            "A name that ends with `.*` stands for all that begin with the text before the `*`.",
            examples=["job.*,trainer.warning"],
        ),
    ] = None
    level: Annotated[
        Level, Field(description="Only events of this level and above: info, warning, error.")
    ] = Level.INFO
    cursor: Cursor = None
    limit: PageSize = 50

    def chosen(self) -> EventFilter:
        """Return the filter.

        Raises:
            Invalid: there are too many types.
        """
        types = self.type.split(",") if self.type else []
        if len(types) > MOST_TYPES:
            message = f"Give at most {MOST_TYPES} types; these are {len(types)}."
            raise Invalid(message, errors=[FieldError("query/type", "too-many-types", message)])
        return EventFilter(
            types=tuple(types), level=self.level, newest_first=self.order is EventOrder.NEWEST
        )


@router.get("/events")
def list_job_events(
    job_id: JobId,
    context: InContext,
    principal: Reader,
    query: Annotated[EventsQuery, Query()],
) -> Page[EventView]:
    """List a job's events, oldest first unless `order` is given."""
    chosen = query.chosen()
    kind = f"events:{job_id}" + (":newest" if chosen.newest_first else "")
    after = int(context.cursors.open(kind, query.cursor)[0] or 0) if query.cursor else None
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        rows = events_page(unit.session, job_id, chosen, after=after, limit=query.limit + 1)
    return Page.of(
        rows,
        query.limit,
        seal=lambda row: context.cursors.seal(kind, [row.seq]),
        view=EventView.of,
    )


@router.get("/attempts")
def list_attempts(job_id: JobId, context: InContext, principal: Reader) -> WholeList[AttemptView]:
    """List a job's attempts, oldest first."""
    with context.database.read() as unit:
        visible_job(unit.session, principal.project_ids, job_id)
        rows = attempts_of(unit.session, job_id)
    return WholeList(data=[AttemptView.of(row) for row in rows])
