"""Changes of a dataset: a version with other options, and the removal of the whole dataset."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from app.core.strict_json import StrictRoute
from app.core.tasks import TASKS
from app.web.api import ApiProblem
from app.web.datasets.heading import Heading, Reference, read_heading, render_tab
from app.web.datasets.version_form import body_of, class_fields, fields_of
from app.web.forms import form_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

CONFIRMED: Final = "yes"


@router.get("/datasets/{reference}/versions/new")
async def show_version_form(page: InPage, reference: Reference) -> Response:
    """Show the form of a version that is read with other options."""
    heading = await read_heading(page, reference)
    report = (await page.api.get(f"/v1/datasets/{heading.view['version']}/report"))["report"]
    options = heading.view["options"] or {}
    fields = fields_of(options, report["classes"] if report else [])
    return await _form(page, heading, fields, None)


@router.post("/datasets/{reference}/versions/new")
async def make_version(page: InPage, request: Request, reference: Reference) -> Response:
    """Make the next version with the options of the form, and open it."""
    form = await form_of(request)
    heading = await read_heading(page, reference)
    body = {"version": heading.view["version"], **body_of(form)}
    try:
        made = await page.api.send("POST", f"/v1/datasets/{heading.view['id']}/versions", body)
    except ApiProblem as refused:
        return await _form(page, heading, form.values(), refused)
    return page.redirect(f"/datasets/{made['version']}")


@router.post("/datasets/{reference}/delete")
async def delete_dataset(page: InPage, request: Request, reference: Reference) -> Response:
    """Delete a dataset with all versions; asked first where no script has asked."""
    form = await form_of(request)
    heading = await read_heading(page, reference)
    refused = None
    if form.one("confirmed") == CONFIRMED:
        try:
            await page.api.answer("DELETE", f"/v1/datasets/{heading.view['id']}")
        except ApiProblem as problem:
            refused = problem
        else:
            return page.redirect("/datasets")
    return await page.render(
        "datasets/delete.html",
        status=refused.status if refused else 200,
        head=heading,
        d=heading.view,
        refused=refused and refused.problem,
    )


async def _form(
    page: Page, heading: Heading, fields: dict[str, str], refused: ApiProblem | None
) -> Response:
    return await render_tab(
        page,
        "datasets/new-version.html",
        heading,
        status=refused.status if refused else 200,
        fields=fields,
        classes=[*class_fields(fields)],
        tasks=TASKS,
        refused=refused and refused.problem,
        errors=_by_field(refused),
    )


def _by_field(refused: ApiProblem | None) -> dict[str, Any]:
    """Return the messages by field; those of an element, such as `/names/3`, name it."""
    errors: dict[str, str] = {}
    for pointer, message in (refused.fields if refused else {}).items():
        field, _, element = pointer.strip("/").partition("/")
        errors.setdefault(field, f"{element}: {message}" if element else message)
    return errors
