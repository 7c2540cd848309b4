"""The findings of a version, and the button that sends the request which corrects one."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from app.core.strict_json import StrictRoute, parse_json
from app.web.api import ApiProblem
from app.web.datasets.findings import SEVERITIES, read_findings
from app.web.datasets.heading import Reference, read_heading, render_tab
from app.web.forms import form_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

KEPT_IN_URL: Final = ("severity", "code", "cursor")


@router.get("/datasets/{reference}/findings")
async def show_findings(page: InPage, reference: Reference) -> Response:
    """Show a page of the findings, errors first."""
    query = {name: page.query[name] for name in KEPT_IN_URL if page.query.get(name)}
    return await _shown(page, reference, query, None)


@router.post("/datasets/{reference}/mend")
async def apply_remedy(page: InPage, request: Request, reference: Reference) -> Response:
    """Send the ready request of a finding, and open the version that it makes."""
    form = await form_of(request)
    body: Any = parse_json(form.one("body").encode())
    if isinstance(body, dict) and form.has("field"):
        body |= {form.one("field"): parse_json(form.one("value").encode())}
    try:
        made = await page.api.send("POST", f"/v1/datasets/{reference}/versions", body)
    except ApiProblem as refused:
        return await _shown(page, reference, {}, refused)
    return page.redirect(f"/datasets/{made['version']}")


async def _shown(
    page: Page, reference: str, query: dict[str, str], refused: ApiProblem | None
) -> Response:
    heading = await read_heading(page, reference)
    return await render_tab(
        page,
        "datasets/findings.html",
        heading,
        status=refused.status if refused else 200,
        found=await read_findings(page, heading, query),
        severities=SEVERITIES,
        refused=refused and refused.problem,
    )
