"""The overview of a dataset: classes and their balance, splits and samples, or its errors."""

from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.datasets.balance import Balance, balance_of
from app.web.datasets.drawing import album_of
from app.web.datasets.findings import read_findings
from app.web.datasets.header import Header, Reference, read_header, render_tab
from app.web.datasets.splits import split_rows
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

SAMPLES_SHOWN: Final = 6


@router.get("/datasets/{reference}")
async def show_dataset(page: InPage, reference: Reference) -> Response:
    """Show the overview of a dataset's newest version, or of one version."""
    header = await read_header(page, reference)
    match header.view["state"]:
        case "validating":
            return await render_tab(page, "datasets/validating.html", header)
        case "invalid":
            return await _show_invalid(page, header)
        case _:
            return await _show_ready(page, header)


async def _show_ready(page: Page, header: Header) -> Response:
    version = f"/v1/datasets/{header.view['version']}"
    report = (await page.api.get(f"{version}/report"))["report"]
    samples = await page.api.get(f"{version}/samples", {"limit": SAMPLES_SHOWN})
    return await render_tab(
        page,
        "datasets/overview.html",
        header,
        balance=await _balance(page, version, report),
        splits=split_rows(report),
        report=report,
        samples=samples,
        album=album_of(samples["data"], report["classes"]),
    )


async def _balance(page: Page, version: str, report: dict[str, Any]) -> Balance:
    statistics = (await page.api.get(f"{version}/statistics"))["statistics"]
    return balance_of(report, statistics, page.query)


async def _show_invalid(page: Page, header: Header) -> Response:
    report = (await page.api.get(f"/v1/datasets/{header.view['version']}/report"))["report"]
    return await render_tab(
        page,
        "datasets/invalid.html",
        header,
        found=await read_findings(page, header, {"severity": "error"}),
        report=report,
    )
