"""The events and attempts of a job."""

from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.jobs.one_job.history import (
    ShownEvent,
    attempt_rows,
    shown_event,
    strip_of,
    with_epochs,
)
from app.web.jobs.one_job.job_header import JobHeader, read_header
from app.web.jobs.one_job.tabs import render_tab
from app.web.pages import InPage, Page

MAIN_TYPES: Final = "job.*,epochs.*,trainer.*,checkpoint.*,resume.*"
"""Everything but the epochs, which are folded into runs."""
SHOWN: Final = {
    "main": ("What matters", {"type": MAIN_TYPES}),
    "epochs": ("With every epoch", {}),
    "warnings": ("Warnings", {"level": "warning"}),
}
MOST_EVENTS: Final = 200

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@router.get("/jobs/{job_id}/events")
async def show_events(job_id: str, page: InPage) -> Response:
    """Show the attempts, and the events, the newest first."""
    header = await read_header(page, job_id)
    show = page.query.get("show", "main")
    show = show if show in SHOWN else "main"
    attempts = (await page.api.get(f"/v1/jobs/{job_id}/attempts"))["data"]
    events, following = await _events(page, header, attempts, show)
    return await render_tab(
        page,
        header,
        "Events",
        "events.html",
        attempts=attempt_rows(attempts),
        strip=strip_of(attempts),
        events=events,
        following=following,
        show=show,
        choices={name: title for name, (title, _) in SHOWN.items()},
    )


async def _events(
    page: Page, header: JobHeader, attempts: list[dict[str, Any]], show: str
) -> tuple[list[ShownEvent], str | None]:
    """Return a page of events in words, and the cursor of the next page."""
    path = f"/v1/jobs/{header.job['id']}"
    asked = {"order": "newest", "limit": MOST_EVENTS, "cursor": page.query.get("cursor")}
    found = await page.api.get(f"{path}/events", {**asked, **SHOWN[show][1]})
    workers = {each["number"]: each["worker_name"] or each["worker"] for each in attempts}
    metric = header.job["best"]["metric"] if header.job["best"] else None
    events = [shown_event(each, workers, metric) for each in found["data"]]
    if show != "main" or not header.recent.last_epoch:
        return events, found["next"]
    metrics = await page.api.get(f"{path}/metrics", {"keys": metric or "none"})
    before = _moment(page.query.get("before", ""))
    folded = with_epochs(events, metrics, metric, before=before, is_oldest=found["next"] is None)
    return folded, found["next"]


def _moment(text: str) -> str | None:
    """Return the moment that an address names; None for other text, or without a time zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else text
