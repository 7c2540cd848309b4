"""`/v1/queue` and `/v1/jobs/{id}/waiting`: the waiting jobs in order, and why one waits."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, BeforeValidator, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.accounts.keys import KeyScope
from app.core.context import InContext
from app.core.pages import Cursor, PageSize
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.core.text_fields import plain_text
from app.jobs.http.parameters import JobId
from app.jobs.http.queue_views import QueueEntryView, QueuePage, WaitingView
from app.jobs.queue.changes import find_changes
from app.jobs.queue.order import read_queue
from app.jobs.queue.waiting import read_waiting

PAGE_KIND: Final = "queue"

router = APIRouter(
    prefix="/v1",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]


class QueueQuery(BaseModel):
    """The queue and the page."""

    queue: Annotated[
        str, Field(max_length=64, description="Name of the queue."), BeforeValidator(plain_text)
    ] = "default"
    cursor: Cursor = None
    limit: PageSize = 50


@router.get("/queue")
def list_queue(
    context: InContext, principal: Reader, query: Annotated[QueueQuery, Query()]
) -> QueuePage:
    """List your waiting jobs of a queue in the order in which claims will take them.

    Claims take the highest priority first; of the same priority, projects and their users take
    turns. Jobs that a limit holds come last. A page shows the queue as it is when it is read, so a
    job that advances meanwhile can be missed between two pages.
    """
    kind = f"{PAGE_KIND}:{query.queue}"
    after = int(str(context.cursors.open(kind, query.cursor)[0])) if query.cursor else 0
    with context.database.read() as unit:
        part = read_queue(
            unit.session,
            principal.project_ids,
            query.queue,
            after=after,
            limit=query.limit + 1,
            silent=context.settings.timing.worker_silence,
        )
    names = principal.project_names
    page = QueuePage.of(
        part.jobs,
        query.limit,
        seal=lambda waiting: context.cursors.seal(kind, [waiting.at]),
        view=lambda waiting: QueueEntryView.of(waiting, names, grace=context.settings.trash_grace),
    )
    return QueuePage(**dict(page), not_shown=part.not_shown)


@router.get("/jobs/{job_id}/waiting", responses=responses_for(404, 507))
def read_waiting_reason(job_id: JobId, context: InContext, principal: Reader) -> WaitingView:
    """Read why a job waits, and which single changes would let the next claim take it.

    Each change that you may make is tried against the rules of claims and undone, so a suggested
    one works if nothing else changes meanwhile.
    """
    silent = context.settings.timing.worker_silence
    with context.database.read() as unit:
        job, waiting = read_waiting(unit.session, principal.project_ids, job_id, silent=silent)
    changes = [] if waiting is None else find_changes(context, principal, job)
    return WaitingView.of(
        job,
        waiting,
        changes,
        project_ids=principal.project_ids,
        shows_slots=KeyScope.WORKERS_READ in principal.scopes,
    )
