"""The upload of a dataset: the form, uploads that are not finished, and what becomes of one."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from app.core.strict_json import StrictRoute
from app.core.tasks import TASKS
from app.web.api import ApiProblem
from app.web.datasets.heading import VIEWER
from app.web.forms import form_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

TUS: Final = {"Tus-Resumable": "1.0.0"}
FIELDS: Final = ("upload", "name", "project", "task", "policy")


@router.get("/datasets/new")
async def show_upload(page: InPage) -> Response:
    """Show the form. With `upload`, it is about a file that has arrived already."""
    fields = {name: page.query[name] for name in FIELDS if page.query.get(name)}
    return await _form(page, fields, None)


@router.post("/datasets/new")
async def make_dataset(page: InPage, request: Request) -> Response:
    """Make a dataset, or its next version, from a finished upload, and open it."""
    form = await form_of(request)
    fields = {name: form.one(name) for name in FIELDS if form.one(name)}
    try:
        made = await page.api.send("POST", "/v1/datasets/from-upload", fields)
    except ApiProblem as refused:
        return await _form(page, fields, refused)
    with suppress(ApiProblem):  # else it is removed when it expires
        await page.api.answer("DELETE", f"/v1/uploads/{fields['upload']}", headers=TUS)
    return page.redirect(f"/datasets/{made['version']}")


@router.post("/datasets/uploads/{upload}/discard")
async def discard_upload(page: InPage, upload: str) -> Response:
    """Remove an upload with what has arrived of it."""
    await page.api.answer("DELETE", f"/v1/uploads/{upload}", headers=TUS)
    return page.redirect("/datasets/new")


async def _form(page: Page, fields: dict[str, str], refused: ApiProblem | None) -> Response:
    uploads = (await page.api.get("/v1/uploads", {"limit": 100}))["data"]
    limits = (await page.api.answer("OPTIONS", "/v1/uploads")).headers
    projects = [name for name, role in page.me["projects"].items() if role != VIEWER]
    sent = next((each for each in uploads if each["id"] == fields.get("upload")), None)
    return await page.render(
        "datasets/upload.html",
        status=refused.status if refused else 200,
        fields=fields,
        uploads=uploads,
        sent=sent,
        largest=int(limits["tus-max-size"]),
        projects=projects,
        tasks=TASKS,
        existing=await _existing(page, fields, projects),
        refused=refused and refused.problem,
        errors={
            pointer.strip("/"): message
            for pointer, message in (refused.fields if refused else {}).items()
        },
    )


async def _existing(
    page: Page, fields: Mapping[str, str], projects: list[str]
) -> dict[str, Any] | None:
    """Return the dataset that gets the next version, if there is one of this name."""
    if not fields.get("name") or not projects:
        return None
    named = {"name": fields["name"], "project": fields.get("project", projects[0]), "limit": 1}
    try:
        listed = (await page.api.get("/v1/datasets", named))["data"]
    except ApiProblem:  # no valid name or project; the form says so when it is sent
        return None
    return listed[0] if listed else None
