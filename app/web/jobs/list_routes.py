"""The list of jobs: filters, groups, single rows for the live view, and actions on several."""

from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.pages import InPage

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

STATES: Final = ("running", "queued", "paused", "succeeded", "failed", "cancelled")
ACTIVE: Final = frozenset({"running", "queued", "paused"})
KEPT_IN_URL: Final = ("state", "q", "dataset", "model", "sort", "trashed")


@router.get("/jobs")
async def show_jobs(page: InPage) -> Response:
    """Show the list; with `rows=job_…,job_…` only these rows, for a page that shows them."""
    rows = page.query.get("rows")
    if rows:
        found = await page.api.get("/v1/jobs", {"ids": rows, "limit": 200})
        return await page.render("jobs/rows.html", jobs=found["data"])
    query = {name: page.query[name] for name in KEPT_IN_URL if page.query.get(name)}
    listed = await page.api.get(
        "/v1/jobs", {**query, "counts": "true", "cursor": page.query.get("cursor")}
    )
    datasets = await page.api.get("/v1/datasets", {"limit": 200})
    return await page.render(
        "jobs/list.html",
        query=query,
        listed=listed,
        states=_states(listed),
        groups=_groups(listed["data"], is_grouped="sort" not in query),
        datasets=datasets["data"],
    )


def _states(listed: dict[str, Any]) -> list[tuple[str, str]]:
    """Return each state with its number of jobs; one that was not counted to its end has a plus."""
    counts, capped = listed["counts"], listed["counts_capped"]
    return [(state, f"{counts[state]}{'+' if state in capped else ''}") for state in STATES]


def _groups(jobs: list[dict[str, Any]], *, is_grouped: bool) -> list[tuple[str, Any]]:
    if not is_grouped:
        return [("", jobs)] if jobs else []
    active = [job for job in jobs if job["state"] in ACTIVE]
    ended = [job for job in jobs if job["state"] not in ACTIVE]
    return [(title, rows) for title, rows in (("Active", active), ("Ended", ended)) if rows]
