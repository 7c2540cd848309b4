"""The overview of a dataset: classes and their balance, splits and samples, or its errors."""

from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.datasets.balance import ClassPage, balance_of
from app.web.datasets.drawing import album_of
from app.web.datasets.findings import read_findings
from app.web.datasets.heading import Heading, Reference, read_heading, render_tab
from app.web.datasets.splits import split_rows
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

SAMPLES_SHOWN: Final = 6


@router.get("/datasets/{reference}")
async def show_dataset(page: InPage, reference: Reference) -> Response:
    """Show the overview of a dataset's newest version, or of one version."""
    heading = await read_heading(page, reference)
    match heading.view["state"]:
        case "validating":
            return await render_tab(page, "datasets/validating.html", heading)
        case "invalid":
            return await _show_invalid(page, heading)
        case _:
            return await _show_ready(page, heading)


async def _show_ready(page: Page, heading: Heading) -> Response:
    version = f"/v1/datasets/{heading.view['version']}"
    report = (await page.api.get(f"{version}/report"))["report"]
    samples = await page.api.get(f"{version}/samples", {"limit": SAMPLES_SHOWN})
    return await render_tab(
        page,
        "datasets/overview.html",
        heading,
        balance=await _balance(page, version, report),
        splits=split_rows(report),
        report=report,
        samples=samples,
        album=album_of(samples["data"], report["classes"]),
    )


async def _balance(page: Page, version: str, report: dict[str, Any]) -> ClassPage:
    statistics = (await page.api.get(f"{version}/statistics"))["statistics"]
    return balance_of(report, statistics, page.query)


async def _show_invalid(page: Page, heading: Heading) -> Response:
    report = (await page.api.get(f"/v1/datasets/{heading.view['version']}/report"))["report"]
    return await render_tab(
        page,
        "datasets/invalid.html",
        heading,
        found=await read_findings(page, heading, {"severity": "error"}),
        report=report,
    )
