"""Changing the name, tags and notes of a job, and extending it."""

from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.forms import form_of
from app.web.jobs.one_job.action_routes import once_only
from app.web.jobs.one_job.actions import refusal
from app.web.jobs.one_job.job_header import JobHeader, read_header
from app.web.jobs.one_job.tabs import render_tab
from app.web.pages import InPage, Page
from app.web.typed_numbers import whole_number

MOVED: Final = 412
SHOWN_AGAIN: Final = frozenset({409, 412, 422})
CHANGED_MEANWHILE: Final = (
    "Someone changed the job meanwhile, so nothing was saved. Save again to replace the name "
    "“{name}”, the tags “{tags}” and the notes that it has now."
)

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@router.get("/jobs/{job_id}/edit")
async def show_edit(job_id: str, page: InPage) -> Response:
    """Show the form for name, tags and notes."""
    header = await read_header(page, job_id)
    typed = {
        "name": header.job["name"] or "",
        "tags": tags_as_text(header.job["tags"]),
        "notes": header.job["notes"],
    }
    return await _edit_page(page, header, typed)


@router.post("/jobs/{job_id}/edit")
async def edit(job_id: str, page: InPage) -> Response:
    """Change name, tags and notes, unless someone else changed the job meanwhile."""
    form = await form_of(page.request)
    typed = {name: form.one(name) for name in ("name", "tags", "notes")}
    change = {
        "name": typed["name"] or None,
        "tags": tags_of_text(typed["tags"]),
        "notes": typed["notes"].replace("\r\n", "\n"),
    }
    try:
        await page.api.answer(
            "PATCH",
            f"/v1/jobs/{job_id}",
            document=change,
            headers={"If-Match": f'"{form.one("revision")}"'},
        )
    except ApiProblem as refused:
        if refused.status not in SHOWN_AGAIN:
            raise
        header = await read_header(page, job_id)
        return await _edit_page(page, header, typed, refused)
    return page.redirect(f"/jobs/{job_id}")


@router.get("/jobs/{job_id}/extend")
async def show_extend(job_id: str, page: InPage) -> Response:
    """Show the form for the number of epochs."""
    header = await read_header(page, job_id)
    typed = {"epochs": str(2 * max(1, header.recent.last_epoch)), "name": ""}
    return await _extend_page(page, header, typed)


@router.post("/jobs/{job_id}/extend")
async def extend(job_id: str, page: InPage) -> Response:
    """Train the job for more epochs as a new job, and open that."""
    form = await form_of(page.request)
    typed = {name: form.one(name) for name in ("epochs", "name")}
    epochs: Any = whole_number(typed["epochs"], otherwise=typed["epochs"])
    try:
        made = await page.api.answer(
            "POST",
            f"/v1/jobs/{job_id}/extend",
            document={"epochs": epochs, "name": typed["name"] or None},
            headers=once_only(form),
        )
    except ApiProblem as refused:
        if refused.status not in SHOWN_AGAIN:
            raise
        return await _extend_page(page, await read_header(page, job_id), typed, refused)
    return page.redirect(f"/jobs/{made.data['id']}")


async def _edit_page(
    page: Page, header: JobHeader, typed: dict[str, str], refused: ApiProblem | None = None
) -> Response:
    summary = ""
    if refused and refused.status == MOVED:
        job = header.job
        tags = tags_as_text(job["tags"]).replace("\n", ", ")
        summary = CHANGED_MEANWHILE.format(name=job["name"] or "", tags=tags)
    elif refused:
        summary = refusal(refused)
    return await render_tab(
        page,
        header,
        "",
        "edit.html",
        status=refused.status if refused else 200,
        typed=typed,
        errors=_by_field(refused),
        summary=summary,
    )


async def _extend_page(
    page: Page, header: JobHeader, typed: dict[str, str], refused: ApiProblem | None = None
) -> Response:
    return await render_tab(
        page,
        header,
        "",
        "extend.html",
        status=refused.status if refused else 200,
        typed=typed,
        errors=_by_field(refused),
        summary=refusal(refused) if refused else "",
    )


def _by_field(refused: ApiProblem | None) -> dict[str, str]:
    """Return the messages of a refusal by the field of the form; a tag's is that of all tags."""
    if refused is None:
        return {}
    return {pointer.split("/")[1]: text for pointer, text in refused.fields.items() if pointer}


def tags_as_text(tags: dict[str, str]) -> str:
    """Return tags as lines of a text field."""
    return "\n".join(f"{name}={value}" for name, value in tags.items())


def tags_of_text(text: str) -> dict[str, str]:
    """Return the tags in the lines of a text field; a line without `=` is a tag without value."""
    lines = (line.partition("=") for line in text.splitlines() if line.strip())
    return {name.strip(): value.strip() for name, _, value in lines}
