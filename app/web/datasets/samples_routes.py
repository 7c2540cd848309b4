"""Samples of a version: images with their objects drawn over them, chosen by split and class."""

from typing import Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.datasets.drawing import album_of
from app.web.datasets.heading import Reference, read_heading, render_tab
from app.web.pages import InPage
from app.web.typed_numbers import whole_number

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

SHOWN_AT_ONCE: Final = 12
FIRST_SEED: Final = 1
MOST_CLASSES: Final = 200
"""The longest list of classes to choose from; of more, one types the name."""


@router.get("/datasets/{reference}/samples")
async def show_samples(page: InPage, reference: Reference) -> Response:
    """Show some images; another seed shows others."""
    heading = await read_heading(page, reference)
    version = f"/v1/datasets/{heading.view['version']}"
    query = {name: page.query[name] for name in ("split", "class", "seed") if page.query.get(name)}
    report = (await page.api.get(f"{version}/report"))["report"]
    names = report["classes"] if report else []
    samples = await page.api.get(f"{version}/samples", {**query, "limit": SHOWN_AT_ONCE})
    return await render_tab(
        page,
        "datasets/samples.html",
        heading,
        query=query,
        samples=samples,
        album=album_of(samples["data"], names),
        classes=names[:MOST_CLASSES] if len(names) <= MOST_CLASSES else None,
        splits=list(heading.view["images"] or {}),
        next_seed=whole_number(query.get("seed", ""), otherwise=FIRST_SEED) + 1,
    )
