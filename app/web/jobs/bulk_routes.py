"""One action on several jobs of the list, or on one row of the trash."""

from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.forms import Form, form_of
from app.web.jobs.list_query import ListQuery
from app.web.jobs.list_routes import LIST, list_page
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

ACTIONS: Final = {
    "pause": "paused",
    "resume": "resumed",
    "stop": "stopped",
    "retry": "retried",
    "cancel": "cancelled",
    "delete": "moved to the trash",
    "restore": "restored",
}
"""What the API calls an action, and what it makes of a job."""
ASKED_FIRST: Final = "cancel"
"""The only action here that cannot be undone."""


@router.post("/jobs/bulk")
async def act_on_jobs(page: InPage) -> Response:
    """Apply an action to the chosen jobs, and show the list again as it was."""
    form = await form_of(page.request)
    view = ListQuery.of(parse_qsl(form.one("view")))
    alone = form.one("restore")
    action, jobs = ("restore", [alone]) if alone else (form.one("do"), _chosen(form))
    if action == ASKED_FIRST and jobs and not form.has("confirmed"):
        return await page.render("jobs/confirm-cancel.html", jobs=jobs, view=form.one("view"))
    if not jobs:
        return await list_page(page, view, refusal=_NONE_CHOSEN, status=422)
    try:
        outcome = await page.api.send("POST", "/v1/jobs/bulk", {"do": action, "jobs": jobs})
    except ApiProblem as refused:
        told = {"title": refused.problem["title"], "detail": refused.problem["detail"], "jobs": []}
        return await list_page(page, view, refusal=told, status=refused.status)
    if not outcome["refused"]:
        return page.redirect(LIST, {**view.address, **view.page})
    status = 200 if outcome["done"] else outcome["refused"][0]["problem"]["status"]
    return await list_page(page, view, refusal=await _told(page, action, outcome), status=status)


_NONE_CHOSEN: Final = {
    "title": "No job is selected",
    "detail": "Select the jobs first, by the boxes in front of them.",
    "jobs": [],
}


def _chosen(form: Form) -> list[str]:
    return list(dict.fromkeys(form.all("jobs")))


async def _told(page: Page, action: str, outcome: dict[str, Any]) -> dict[str, Any]:
    """Return which jobs refused the action, by name, and why."""
    refused = outcome["refused"]
    names = await _names(page, [each["job"] for each in refused])
    number, asked = len(refused), len(refused) + len(outcome["done"])
    verb = "was" if number == 1 else "were"
    return {
        "title": f"{number} of {asked} jobs {verb} not {ACTIONS[action]}",
        "detail": "",
        "jobs": [(each["job"], names.get(each["job"]), each["problem"]) for each in refused],
    }


async def _names(page: Page, ids: list[str]) -> dict[str, str]:
    """Return the names of those jobs that the user can see, in or outside the trash."""
    names: dict[str, str] = {}
    for trashed in ("false", "true"):
        query = {"ids": ",".join(ids), "trashed": trashed, "limit": len(ids)}
        try:
            found = await page.api.get("/v1/jobs", query)
        except ApiProblem:  # one of them is no id
            return {}
        names |= {job["id"]: job["name"] for job in found["data"] if job["name"]}
    return names
