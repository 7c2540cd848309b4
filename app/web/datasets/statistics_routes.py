"""Statistics of a version: histograms, where boxes are, empty images, and duplicates."""

from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.datasets.heading import Reference, read_heading, render_tab
from app.web.datasets.histograms import heat_of, histograms_of
from app.web.pages import InPage

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

KINDS: Final = ("exact", "near")


@router.get("/datasets/{reference}/statistics")
async def show_statistics(page: InPage, reference: Reference) -> Response:
    """Show what was measured when the version was verified."""
    heading = await read_heading(page, reference)
    version = f"/v1/datasets/{heading.view['version']}"
    measured = await page.api.get(f"{version}/statistics")
    statistics = measured["statistics"]
    duplicates: dict[str, Any] = {}
    if statistics is not None:
        for kind in KINDS:
            found = await page.api.get(f"{version}/duplicates", {"kind": kind, "limit": 1})
            duplicates[kind] = found["total"]
    return await render_tab(
        page,
        "datasets/statistics.html",
        heading,
        measured=measured,
        statistics=statistics,
        histograms=histograms_of(statistics, heading.view["task"]) if statistics else [],
        heat=heat_of(statistics) if statistics else [],
        duplicates=duplicates,
    )


@router.get("/datasets/{reference}/duplicates")
async def show_duplicates(page: InPage, reference: Reference) -> Response:
    """Show groups of images that have the same bytes (`kind=exact`) or look alike (`near`)."""
    heading = await read_heading(page, reference)
    kind = page.query.get("kind", KINDS[0])
    query = {"kind": kind, "cursor": page.query.get("cursor")}
    found = await page.api.get(f"/v1/datasets/{heading.view['version']}/duplicates", query)
    return await render_tab(page, "datasets/duplicates.html", heading, found=found, kind=kind)
