"""A page of the list of jobs, read and written as JSON."""

from app.accounts.authentication import Principal
from app.core.context import Context
from app.core.database import UnitOfWork
from app.jobs.http.job_views import JobRow
from app.jobs.http.listing import JobListQuery, JobPage, JobProgressRow
from app.jobs.http.waiting import waits_of
from app.jobs.listing.filters import Scope
from app.jobs.listing.pages import listed_page
from app.jobs.listing.readers import ListReader
from app.jobs.listing.state_counts import state_counts


def read_page(
    unit: UnitOfWork, context: Context, principal: Principal, query: JobListQuery
) -> bytes:
    """Return the JSON of the `JobPage` that a caller asks for.

    Raises:
        Invalid: the order compares values that cannot be compared, or the cursor is no cursor.
        UnknownProject: the caller has no project with the name in the query.
    """
    filters, order = query.filters(), query.order
    kind = f"jobs-2:{query.sort}"
    after = context.cursors.open(kind, query.cursor) if query.cursor else None
    project_ids = principal.project_ids
    if query.project is not None:
        project_ids = frozenset({principal.project_id(query.project, pointer="query/project")})
    scope = Scope(tuple(sorted(project_ids)), query.trashed)
    reader = ListReader(unit.session, scope, filters)
    page = listed_page(
        unit.session,
        reader,
        order=order,
        after=after,
        limit=query.limit,
        is_short=query.fields is not None,
    )
    counted = state_counts(unit.session, reader) if query.counts else None
    waits = {} if query.fields else waits_of(unit, context, [each.job for each in page.jobs])
    names = principal.project_names
    shown = JobPage(
        data=[JobProgressRow.of(each) for each in page.jobs]
        if query.fields
        else [
            JobRow.of(each, names, waits.get(each.job.id), grace=context.settings.trash_grace)
            for each in page.jobs
        ],
        next=None if page.next is None else context.cursors.seal(kind, list(page.next)),
        has_more=page.next is not None,
        counts=None if counted is None else dict(counted.numbers),
        counts_capped=None if counted is None else list(counted.capped),
    )
    return shown.model_dump_json().encode()
