"""The overview of a job: its charts, its classes, and every epoch as a table."""

from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.path_prefix import link
from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.jobs.one_job.actions import amendment
from app.web.jobs.one_job.class_table import read_class_table
from app.web.jobs.one_job.job_header import TABLE_EPOCHS, JobHeader, read_header
from app.web.jobs.one_job.log_lines import LogLine, lines_of
from app.web.jobs.one_job.overview_charts import OWN_RATE, charts_of
from app.web.jobs.one_job.tabs import render_tab
from app.web.pages import HEADERS, InPage, Page

TABLE_COLUMNS: Final = 30
LAST_LINES: Final = 12
NOT_FOUND: Final = 404

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@dataclass(frozen=True)
class Curves:
    """The epochs of a job.

    Attributes:
        metrics: of the epochs that the page shows as a table, or of all.
        system: what they used.
        embedded: whether these are all epochs, so that the page has them for its script.
    """

    metrics: dict[str, Any]
    system: dict[str, Any]
    embedded: bool


@router.get("/jobs/{job_id}")
async def show_overview(job_id: str, page: InPage) -> Response:
    """Show the charts and classes of a job, or what it waits for."""
    header = await read_header(page, job_id, with_curves=True)
    curves = await _curves(page, header)
    plan = await _plan(page, job_id)
    needs_log = header.job["state"] == "failed" or (curves is None and header.job["attempt"])
    return await render_tab(
        page,
        header,
        "Overview",
        "overview.html",
        charts=_charts(header, curves),
        curves=curves,
        table=_table(curves),
        classes=await read_class_table(page.api, header.job, plan, page.query) if curves else None,
        plan=plan,
        waiting=await _waiting(page, header),
        amendment=amendment,
        last_lines=await _last_lines(page, header) if needs_log else [],
        chart_view=chart_view(page.query),
        sources=_sources(header, curves),
    )


@router.get("/jobs/{job_id}/metrics.csv")
async def download_metrics(job_id: str, page: InPage) -> Response:
    """Download every epoch as a table."""
    answer = await page.api.answer(
        "GET", f"/v1/jobs/{job_id}/metrics", headers={"accept": "text/csv"}
    )
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{job_id}.csv"'}
    return Response(answer.body, media_type="text/csv", headers=headers)


async def _curves(page: Page, header: JobHeader) -> Curves | None:
    metrics = header.recent.metrics
    if not metrics["epochs"]:
        return None
    since = None if header.recent.is_all else metrics["epochs"][0] - 1
    path = f"/v1/jobs/{header.job['id']}/metrics/system"
    system = await page.api.get(path, {"since": since})
    return Curves(metrics, system, header.recent.is_all)


async def _plan(page: Page, job_id: str) -> dict[str, Any] | None:
    try:
        plan: dict[str, Any] = await page.api.get(f"/v1/jobs/{job_id}/plan")
    except ApiProblem as refused:
        if refused.status != NOT_FOUND:
            raise
        return None
    return plan


async def _waiting(page: Page, header: JobHeader) -> dict[str, Any] | None:
    if header.job["state"] != "queued":
        return None
    waiting: dict[str, Any] = await page.api.get(f"/v1/jobs/{header.job['id']}/waiting")
    return waiting


async def _last_lines(page: Page, header: JobHeader) -> list[LogLine]:
    path = f"/v1/jobs/{header.job['id']}/logs"
    return lines_of(await page.api.answer("GET", path, query={"tail": LAST_LINES}))


def _charts(header: JobHeader, curves: Curves | None) -> list[Any]:
    if curves is None:
        return []
    deciding = header.job["best"]["metric"] if header.job["best"] else None
    return charts_of(list(curves.metrics["series"]), curves.system["series"], deciding)


def _sources(header: JobHeader, curves: Curves | None) -> dict[str, dict[str, Any]]:
    """Return by id where the script finds the data of charts: an address, or the data itself."""
    if curves is None:
        return {}
    path = link(f"/v1/jobs/{header.job['id']}/metrics")
    metrics = {name: of for name, of in curves.metrics.items() if name != "ended_at"}
    return {
        "metrics": {"href": path, "data": metrics if curves.embedded else None},
        "system": {"href": f"{path}/system", "data": curves.system if curves.embedded else None},
    }


def _table(curves: Curves | None) -> dict[str, Any] | None:
    """Return the newest epochs as rows, the newest first, and the columns."""
    if curves is None:
        return None
    metrics = curves.metrics
    names = [name for name in metrics["series"] if not OWN_RATE.match(name)]
    shown = names[:TABLE_COLUMNS]
    rows = zip(metrics["epochs"], *(metrics["series"][name] for name in shown), strict=True)
    newest = list(rows)[::-1][:TABLE_EPOCHS]
    return {
        "columns": shown,
        "rows": newest,
        "columns_left_out": len(names) - len(shown),
        "is_shortened": not curves.embedded or len(newest) < len(metrics["epochs"]),
    }


def chart_view(query: dict[str, str]) -> dict[str, Any]:
    """Return the settings of the charts in the address."""
    smooth = query.get("smooth", "0")
    try:
        strength = min(0.95, max(0.0, float(smooth)))
    except ValueError:
        strength = 0.0
    return {
        "x": "time" if query.get("x") == "time" else "epoch",
        "log": query.get("y") == "log",
        "smooth": strength if strength == strength else 0.0,  # noqa: PLR0124 -- NaN
        "find": query.get("find", ""),
    }
