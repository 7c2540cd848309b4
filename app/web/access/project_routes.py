"""Projects, their members and their quotas."""

from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem, path_below
from app.web.forms import Form, form_of
from app.web.pages import InPage, Page
from app.web.typed_numbers import whole_number

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

PROJECTS: Final = "/access/projects"
MOST_DIGITS: Final = 19
ROLES: Final = ("viewer", "member", "admin")
QUOTAS: Final = {
    "queued_jobs": "Waiting jobs",
    "running_jobs": "Running jobs",
    "stored_bytes": "Stored bytes",
    "uploaded_bytes": "Bytes of kept uploads",
    "verifier_seconds": "Seconds of verification a day",
}


@router.get("/access/projects")
async def show_projects(page: InPage) -> Response:
    """Show the projects that the user may see."""
    return await _projects_page(page)


@router.post("/access/projects")
async def create_project(page: InPage) -> Response:
    """Create a project."""
    form = await form_of(page.request)
    try:
        made = await page.api.send("POST", "/v1/projects", {"name": form.one("name")})
    except ApiProblem as refused:
        return await _projects_page(page, refused, form)
    return page.redirect(f"{PROJECTS}/{made['id']}")


@router.get("/access/projects/{project_id}")
async def show_project(page: InPage, project_id: str) -> Response:
    """Show one project with its members and quotas."""
    return await _project_page(page, project_id)


@router.post("/access/projects/{project_id}")
async def change_project(page: InPage, project_id: str) -> Response:
    """Rename a project, or archive it."""
    form = await form_of(page.request)
    change = {"name": form.one("name"), "archived": form.has("archived")}
    return await _sent(page, project_id, "PATCH", f"/v1/projects/{project_id}", change)


@router.post("/access/projects/{project_id}/members")
async def put_member(page: InPage, project_id: str) -> Response:
    """Give a user a role in a project."""
    form = await form_of(page.request)
    path, role = f"/v1/projects/{project_id}/members", {"role": form.one("role")}
    return await _sent(page, project_id, "PUT", path, role, name=form.one("user"))


@router.post("/access/projects/{project_id}/members/remove")
async def remove_member(page: InPage, project_id: str) -> Response:
    """Remove a member from a project."""
    form = await form_of(page.request)
    path = f"/v1/projects/{project_id}/members"
    return await _sent(page, project_id, "DELETE", path, None, name=form.one("user"))


@router.post("/access/projects/{project_id}/quotas")
async def set_quotas(page: InPage, project_id: str) -> Response:
    """Set all quotas of a project; an empty field means no limit."""
    form = await form_of(page.request)
    limits = {name: _limit(form.one(name)) for name in QUOTAS}
    return await _sent(page, project_id, "PUT", f"/v1/projects/{project_id}/quotas", limits)


def _limit(text: str) -> int | str | None:
    """Return a number; other text is sent as it is, so that the API says what is wrong."""
    return whole_number(text, otherwise=text, most_digits=MOST_DIGITS) if text else None


async def _sent(
    page: Page,
    project_id: str,
    method: str,
    path: str,
    document: dict[str, Any] | None,
    *,
    name: str | None = None,
) -> Response:
    """Send a request for a path, or for what a form names below it, and show the project."""
    try:
        path = path if name is None else path_below(path, name)
        await page.api.send(method, path, document)
    except ApiProblem as refused:
        return await _project_page(page, project_id, refused)
    return page.redirect(f"{PROJECTS}/{project_id}")


async def _projects_page(
    page: Page, refused: ApiProblem | None = None, form: Form | None = None
) -> Response:
    listed = await page.api.get("/v1/projects", {"cursor": page.query.get("cursor"), "limit": 100})
    return await page.render(
        "access/projects.html",
        status=refused.status if refused else 200,
        refused=refused.problem if refused else None,
        form=form,
        listed=listed,
    )


async def _project_page(page: Page, project_id: str, refused: ApiProblem | None = None) -> Response:
    project = await page.api.get(f"/v1/projects/{project_id}")
    members = await page.api.get(f"/v1/projects/{project_id}/members", {"limit": 200})
    return await page.render(
        "access/project.html",
        status=refused.status if refused else 200,
        refused=refused.problem if refused else None,
        project=project,
        members=members,
        quotas=await page.api.get(f"/v1/projects/{project['id']}/quotas"),
        quota_names=QUOTAS,
        roles=ROLES,
    )
