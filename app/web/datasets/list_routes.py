"""The list of datasets: filters, order, and single rows for the live view."""

from typing import Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.core.tasks import TASKS
from app.web.datasets import dataset_words
from app.web.pages import InPage

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

STATES: Final = ("ready", "validating", "invalid")
KEPT_IN_URL: Final = ("state", "q", "task", "project", "sort")


@router.get("/datasets")
async def show_datasets(page: InPage) -> Response:
    """Show the list. A script of ours that asks for the same address gets the rows alone."""
    query = {name: page.query[name] for name in KEPT_IN_URL if page.query.get(name)}
    asked = {**query, "counts": "true", "cursor": page.query.get("cursor")}
    listed = await page.api.get("/v1/datasets", asked)
    counts, capped = listed["counts"], listed["counts_capped"]
    return await page.render(
        "datasets/rows.html" if page.is_fragment else "datasets/list.html",
        query=query,
        listed=listed,
        states=[(each, f"{counts[each]}{'+' if each in capped else ''}") for each in STATES],
        tasks=TASKS,
        say=dataset_words,
    )
