"""The audit log: for administrators of the instance."""

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.pages import InPage

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@router.get("/access/audit")
async def show_audit_log(page: InPage) -> Response:
    """Show what was changed and who did it, newest first."""
    query = {name: page.query.get(name) for name in ("project_id", "cursor")}
    listed = await page.api.get("/v1/audit", query | {"limit": "100"})
    projects = await page.api.get("/v1/projects", {"limit": 200})
    return await page.render(
        "access/audit.html", listed=listed, query=query, projects=projects["data"]
    )
