"""The versions of a dataset, and how two of them differ."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.datasets import dataset_words
from app.web.datasets.heading import Reference, read_heading, render_tab
from app.web.pages import InPage

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

COMPARABLE: Final = 200
"""The newest versions, which can be chosen for a comparison."""


@router.get("/datasets/{reference}/versions")
async def show_versions(page: InPage, reference: Reference) -> Response:
    """Show the versions, the newest first."""
    heading = await read_heading(page, reference)
    path = f"/v1/datasets/{heading.view['id']}/versions"
    listed = await page.api.get(path, {"cursor": page.query.get("cursor")})
    return await render_tab(page, "datasets/versions.html", heading, listed=listed)


@router.get("/datasets/{reference}/diff")
async def show_difference(page: InPage, reference: Reference) -> Response:
    """Show the images that two versions do not have in common.

    Without `after`, the later one is the version of the page; without `before`, the earlier one is
    the ready version before it.
    """
    heading = await read_heading(page, reference)
    dataset = f"/v1/datasets/{heading.view['id']}"
    versions = (await page.api.get(f"{dataset}/versions", {"limit": COMPARABLE}))["data"]
    asked = {name: page.query.get(name, "") for name in ("before", "after", "cursor")}
    ready = [each for each in versions if each["state"] == "ready"]
    if not asked["after"]:
        shown = heading.view if heading.view["state"] == "ready" or not ready else ready[0]
        asked["after"] = shown["version"]
    before = asked["before"] or _one_before(ready, asked["after"])
    refused = None
    listed = None
    try:
        listed = await page.api.get(f"{dataset}/diff", asked)
    except ApiProblem as problem:
        refused = problem
    return await render_tab(
        page,
        "datasets/diff.html",
        heading,
        status=refused.status if refused else 200,
        refused=refused and refused.problem,
        comparable=ready,
        before=before,
        words=_changes(ready, before, asked["after"]),
        after=asked["after"],
        listed=listed,
    )


def _changes(ready: Sequence[dict[str, Any]], before: str, after: str) -> str:
    """Return the numbers of changes, which are known of a version and the ready one before it."""
    later = next((each for each in ready if each["version"] == after), None)
    if later is None or before != _one_before(ready, after):
        return ""
    return dataset_words.changes_of(later)


def _one_before(ready: Sequence[dict[str, Any]], version: str) -> str:
    """Return the newest of the versions that are older than a version; empty if there is none."""
    number = next((each["number"] for each in ready if each["version"] == version), 0)
    return next((each["version"] for each in ready if each["number"] < number), "")
