"""The list of jobs: filters, groups, and single rows for the live view."""

from collections.abc import Iterable
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.jobs.list_query import ListQuery
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

LIST: Final = "/jobs"
STATES: Final = ("running", "queued", "paused", "succeeded", "failed", "cancelled")
ACTIVE: Final = frozenset({"running", "queued", "paused"})
MOST_ROWS: Final = 200
REFUSED_QUERY: Final = frozenset({400, 422})
ORDERS: Final = (
    ("-created", "Newest first"),
    ("created", "Oldest first"),
    ("-ended", "Ended last"),
    ("name", "Name"),
    ("-best", "Best first"),
)


@router.get(LIST)
async def show_jobs(page: InPage) -> Response:
    """Show the list.

    For pages that show it already: `rows=job_…,job_…` returns only these rows, as far as they
    match, and `part=states` the numbers of jobs by state.
    """
    query = ListQuery.of(page.request.query_params.multi_items())
    if "rows" in page.query:
        return await _rows(page, query, page.query["rows"])
    if page.query.get("part") == "states":
        listed = await _listed(page, query, limit=1)
        return await page.render("jobs/states.html", query=query, states=_states(listed))
    return await list_page(page, query)


@router.get("/jobs/latest")
async def show_latest(page: InPage) -> Response:
    """Open the newest job, or the list if there is none."""
    newest = await page.api.get("/v1/jobs", {"limit": 1})
    return page.redirect(f"{LIST}/{newest['data'][0]['id']}" if newest["data"] else LIST)


async def list_page(
    page: Page,
    query: ListQuery,
    *,
    refusal: dict[str, Any] | None = None,
    status: int = 200,
) -> Response:
    """Return the list of jobs as a page.

    Args:
        page: that was asked for.
        query: what is listed.
        refusal: what came of an action on several jobs, if some of them refused it.
        status: of HTTP.
    """
    problem = None
    try:
        listed = await _listed(page, query)
    except ApiProblem as refused:
        if refused.status not in REFUSED_QUERY:
            raise
        problem, status = refused.problem, refused.status
        listed = {"data": [], "next": None, "counts": {}, "counts_capped": []}
    datasets = await page.api.get("/v1/datasets", {"limit": MOST_ROWS})
    return await page.render(
        "jobs/list.html",
        status=status,
        problem=problem,
        refusal=refusal,
        query=query,
        listed=listed,
        states=_states(listed),
        total=_number(listed, query.states or STATES),
        groups=_groups(listed["data"], is_grouped=query.is_grouped),
        datasets=datasets["data"],
        models=await _models(page, query, listed["data"]),
        orders=ORDERS,
        without_hit=query.without_hit({each["id"]: each["name"] for each in datasets["data"]}),
    )


async def _listed(page: Page, query: ListQuery, limit: int | None = None) -> dict[str, Any]:
    given = {"state": query.states, **query.filters, "sort": query.sort, "cursor": query.cursor}
    listed: dict[str, Any] = await page.api.get(
        "/v1/jobs", {**given, "counts": "true", "limit": limit}
    )
    return listed


async def _rows(page: Page, query: ListQuery, ids: str) -> Response:
    given = {"state": query.states, **query.filters}
    found = await page.api.get("/v1/jobs", {**given, "ids": ids, "limit": MOST_ROWS})
    return await page.render("jobs/rows.html", jobs=found["data"])


async def _models(page: Page, query: ListQuery, jobs: list[dict[str, Any]]) -> list[str]:
    """Return the models to choose from: those that exist, and those of the jobs that are shown."""
    known = await page.api.get("/v1/models", {"limit": MOST_ROWS})
    names = {model["name"] for model in known["data"]} | {job["model"] for job in jobs}
    chosen = query.filters.get("model")
    return sorted(names | {chosen} if chosen else names)


def _states(listed: dict[str, Any]) -> list[tuple[str, str]]:
    """Return each state with its number of jobs; first, as an empty name, all of them."""
    return [("", _number(listed, STATES)), *((each, _number(listed, [each])) for each in STATES)]


def _number(listed: dict[str, Any], states: Iterable[str]) -> str:
    """Return how many jobs are in these states; with a plus if not all of them were counted."""
    known = [state for state in states if state in listed["counts"]]
    if not known:
        return ""
    is_capped = any(state in listed["counts_capped"] for state in known)
    return f"{sum(listed['counts'][state] for state in known)}{'+' if is_capped else ''}"


def _groups(jobs: list[dict[str, Any]], *, is_grouped: bool) -> list[tuple[str, Any]]:
    if not is_grouped:
        return [("", jobs)] if jobs else []
    active = [job for job in jobs if job["state"] in ACTIVE]
    ended = [job for job in jobs if job["state"] not in ACTIVE]
    return [(title, rows) for title, rows in (("Active", active), ("Ended", ended)) if rows]
