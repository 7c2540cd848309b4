"""What the buttons of a job do: each is a form, and works without JavaScript."""

from typing import Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.forms import Form, form_of
from app.web.jobs.one_job.actions import refusal
from app.web.jobs.one_job.job_header import read_header
from app.web.jobs.one_job.tabs import render_tab
from app.web.pages import InPage, Page

CONFLICT: Final = 409
TABS: Final = frozenset({"plan", "images", "log", "events", "files", "spec"})

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@router.post("/jobs/{job_id}/pause")
async def pause(job_id: str, page: InPage) -> Response:
    """Pause the job."""
    return await _apply(page, job_id, "POST", "/pause")


@router.post("/jobs/{job_id}/resume")
async def resume(job_id: str, page: InPage) -> Response:
    """Queue the paused job again, or withdraw a pending pause."""
    return await _apply(page, job_id, "POST", "/resume")


@router.post("/jobs/{job_id}/stop")
async def stop(job_id: str, page: InPage) -> Response:
    """End the job early and keep its result."""
    return await _apply(page, job_id, "POST", "/stop")


@router.get("/jobs/{job_id}/cancel")
async def ask_before_cancel(job_id: str, page: InPage) -> Response:
    """Ask whether to cancel the job, where no script shows the dialog."""
    return await render_tab(page, await read_header(page, job_id), "", "cancel.html")


@router.post("/jobs/{job_id}/cancel")
async def cancel(job_id: str, page: InPage) -> Response:
    """Cancel the job."""
    return await _apply(page, job_id, "POST", "/cancel")


@router.post("/jobs/{job_id}/retry")
async def retry(job_id: str, page: InPage) -> Response:
    """Queue the failed or cancelled job again."""
    return await _apply(page, job_id, "POST", "/retry")


@router.post("/jobs/{job_id}/trash")
async def move_to_trash(job_id: str, page: InPage) -> Response:
    """Move the ended job to the trash."""
    return await _apply(page, job_id, "DELETE", "")


@router.post("/jobs/{job_id}/restore")
async def restore(job_id: str, page: InPage) -> Response:
    """Restore the job from the trash."""
    return await _apply(page, job_id, "POST", "/restore")


@router.post("/jobs/{job_id}/clone")
async def retry_amended(job_id: str, page: InPage) -> Response:
    """Submit the failed job again, with the change that avoids its failure; open the new job."""
    form = await form_of(page.request)
    try:
        made = await page.api.answer(
            "POST",
            f"/v1/jobs/{job_id}/clone",
            document={"amended": True},
            headers=once_only(form),
        )
    except ApiProblem as refused:
        return await refused_page(page, job_id, refused)
    return page.redirect(f"/jobs/{made.data['id']}")


def once_only(form: Form) -> dict[str, str]:
    """Return the header that makes a form that is sent twice create one job."""
    token = form.one("once")
    return {"Idempotency-Key": token} if token else {}


async def _apply(page: Page, job_id: str, method: str, path: str) -> Response:
    """Do one thing with the job, and open the tab of which the button was pressed."""
    form = await form_of(page.request)
    try:
        await page.api.send(method, f"/v1/jobs/{job_id}{path}")
    except ApiProblem as refused:
        return await refused_page(page, job_id, refused)
    tab = form.one("tab")
    return page.redirect(f"/jobs/{job_id}/{tab}" if tab in TABS else f"/jobs/{job_id}")


async def refused_page(page: Page, job_id: str, refused: ApiProblem) -> Response:
    """Return the job's page, which says why the action was refused and what can be done instead.

    Raises:
        ApiProblem: the user cannot see such a job, or may change nothing of it.
    """
    if refused.status != CONFLICT:
        raise refused
    header = await read_header(page, job_id)
    return await render_tab(
        page, header, "", "refused.html", status=refused.status, notice=refusal(refused)
    )
