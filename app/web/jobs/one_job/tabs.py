"""The header of every page of a job, and the page below it."""

import secrets
from typing import Any, Final

from fastapi import Response

from app.web.jobs.one_job.actions import READ_ONLY_ROLE, actions_of, amendment
from app.web.jobs.one_job.facts import beside_state, facts_of, until
from app.web.jobs.one_job.job_header import Job, JobHeader
from app.web.pages import Page

PLOT: Final = "plot"


async def render_tab(
    page: Page,
    header: JobHeader,
    tab: str,
    template: str,
    *,
    status: int = 200,
    notice: str = "",
    **values: Any,  # noqa: ANN401 -- whatever the template shows
) -> Response:
    """Return a page of a job.

    Args:
        page: of the request.
        header: the job.
        tab: the name of the tab that is open.
        template: in the room of these pages.
        status: of HTTP.
        notice: what the user has to know first, such as why an action was refused.
        values: what the template shows.
    """
    job = header.job
    role = page.me["projects"].get(job["project"], READ_ONLY_ROLE)
    shown = {
        "header": header,
        "job": job,
        "tab": tab,
        "tabs": tabs_of(header),
        "facts": facts_of(header),
        "beside": beside_state(header),
        "until": until(job),
        "actions": actions_of(job, role),
        "retry_with": retry_with(job),
        "may_write": role != READ_ONLY_ROLE,
        "notice": notice,
        "once": secrets.token_urlsafe(16),
    }
    return await page.render(
        f"jobs/one_job/{template}", status=status, section="Jobs", **shown, **values
    )


def tabs_of(header: JobHeader) -> list[tuple[str, str, int]]:
    """Return the name, the path and the number of items of each tab."""
    plots = sum(file["kind"] == PLOT for file in header.files)
    return [
        ("Overview", header.path, 0),
        ("Plan", f"{header.path}/plan", 0),
        ("Images", f"{header.path}/images", plots),
        ("Log", f"{header.path}/log", 0),
        ("Events", f"{header.path}/events", 0),
        ("Files", f"{header.path}/files", len(header.files)),
        ("Spec", f"{header.path}/spec", 0),
    ]


def retry_with(job: Job) -> str | None:
    """Return what an amended retry would set; empty if the same spec can run; None: unknown."""
    if job["error"] is None or job["error"]["amended"] is None:
        return None
    return amendment(job["error"]["amended"])
