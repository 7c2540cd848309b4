"""The images of a job: the worst validation images, the final validation, and plots."""

from dataclasses import asdict
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.path_prefix import link
from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.jobs.one_job.confusion import confusion_table
from app.web.jobs.one_job.job_header import JobHeader, read_header
from app.web.jobs.one_job.overview_charts import DASHES, HUES, THICK, Chart, Line
from app.web.jobs.one_job.tabs import render_tab
from app.web.jobs.one_job.worst_images import KINDS, picture_of
from app.web.pages import InPage, Page

NOT_FOUND, INVALID = 404, 422
SHOWN_AT_ONCE: Final = 24
MOST_LINES: Final = 20
SETS: Final = (
    ("validation", "Validation batches"),
    ("training", "Training batches"),
    ("results", "Plots of the results"),
)
PARTS: Final = (("", ""), ("masks.", " of masks"), ("pose.", " of key points"))
CURVES: Final = (
    ("pr", "Precision by recall", "recall"),
    ("f1", "F1 by confidence", "confidence"),
    ("precision", "Precision by confidence", "confidence"),
    ("recall", "Recall by confidence", "confidence"),
)

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@router.get("/jobs/{job_id}/images")
async def show_images(job_id: str, page: InPage) -> Response:
    """Show the worst images, under a filter if the address has one, and everything else."""
    header = await read_header(page, job_id)
    curves = await _found(page, f"/v1/jobs/{job_id}/curves")
    worst = await _worst(page, job_id)
    plots = [file for file in header.files if file["preview"]]
    return await render_tab(
        page,
        header,
        "Images",
        "images.html",
        worst=worst,
        pictures=[picture_of(image) for image in worst["data"]] if worst else [],
        kinds=KINDS,
        classes=_classes(header),
        charts=_charts(curves) if curves else [],
        accuracy=curves["accuracy"] if curves else None,
        confusion=confusion_table(curves["confusion"]) if curves else None,
        source={"href": link(f"/v1/jobs/{job_id}/curves"), "data": None},
        sets=[
            (title, of_set)
            for name, title in SETS
            if (of_set := [plot for plot in plots if plot["set"] == name])
        ],
        has_plots=header.job["resolved"]["train"].get("plots"),
    )


async def _found(page: Page, path: str) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = await page.api.get(path)
    except ApiProblem as refused:
        if refused.status != NOT_FOUND:
            raise
        return None
    return document


async def _worst(page: Page, job_id: str) -> dict[str, Any] | None:
    """Read the worst images; none of them for a class that the dataset does not have."""
    query = page.query
    asked = {
        "class": query.get("class"),
        "kind": query.get("kind") if query.get("kind") in KINDS else None,
        "cursor": query.get("cursor"),
        "limit": SHOWN_AT_ONCE,
    }
    try:
        worst: dict[str, Any] = await page.api.get(f"/v1/jobs/{job_id}/images/worst", asked)
    except ApiProblem as refused:
        if refused.status == INVALID and query.get("class"):
            return {"data": [], "total": 0, "next": None, "images_total": 0, "conf": None}
        if refused.status != NOT_FOUND:
            raise
        return None
    return worst


def _classes(header: JobHeader) -> list[str]:
    """Return the classes to filter by."""
    if header.job["resolved"]["train"].get("single_cls") or header.dataset is None:
        return []
    return header.dataset["classes"] or []


def _charts(curves: dict[str, Any]) -> list[tuple[Chart, str, str]]:
    """Return the charts of the curves, with the part of the source and the name of the axis."""
    charts = []
    for prefix, of_what in PARTS:
        part = curves[prefix.rstrip(".")] if prefix else curves
        for name, title, axis in CURVES:
            if part and part[name]:
                lines = _lines(part[name])
                id_ = f"c-{prefix.replace('.', '-')}{name}"
                chart = Chart(id_, title + of_what, lines, source="curves")
                charts.append((chart, prefix + name, axis))
    return charts


def _lines(curve: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the mean and the first classes as lines."""
    names = list(curve["classes"])[:MOST_LINES]
    lines = [Line("mean", "mean", 1, w=THICK)]
    lines += [
        Line(f"class/{name}", name, number % HUES + 1, number // HUES % DASHES)
        for number, name in enumerate(names, 1)
    ]
    return [asdict(line) for line in lines]
