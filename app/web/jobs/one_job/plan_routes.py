"""The plan of a job: what was known when it was submitted."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.formats import duration, plain_number
from app.web.jobs.one_job.job_header import read_header
from app.web.jobs.one_job.overview_charts import Chart, rate_lines
from app.web.jobs.one_job.tabs import render_tab
from app.web.pages import InPage, Page

NOT_FOUND: Final = 404
MOST_RATES: Final = 1000
"""Epochs up to which the page has the rates of each one; of longer jobs it has three."""
FULL_RATE: Final = 1.0
MOST_CLASSES: Final = 200
MODES: Final = {
    "none": "",
    "explicit": "Weights as the spec gives them.",
    "inverse_frequency": "Weights by inverse frequency.",
    "balanced": "Balanced weights.",
}

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@dataclass(frozen=True)
class LayerBar:
    """A layer, and how it learns over the epochs.

    Attributes:
        layer: of the plan.
        frozen: percent of the epochs in which it is frozen.
        text: the same in words.
    """

    layer: dict[str, Any]
    frozen: float
    text: str

    @property
    def is_full(self) -> bool:
        """Whether it learns at the full rate or above."""
        rate: float = self.layer["lr_factor"]
        return rate >= FULL_RATE


@router.get("/jobs/{job_id}/plan")
async def show_plan(job_id: str, page: InPage) -> Response:
    """Show the layers, classes, optimizer and extent, as planned."""
    header = await read_header(page, job_id)
    epochs = header.job["resolved"]["train"]["epochs"]
    plan = await _plan(page, job_id, is_short=epochs <= MOST_RATES)
    if plan is None:
        return await render_tab(page, header, "Plan", "plan-none.html")
    shown = plan["classes"]["shown"][:MOST_CLASSES]
    return await render_tab(
        page,
        header,
        "Plan",
        "plan.html",
        plan=plan,
        parts=_parts(plan),
        classes=shown,
        most_labels=max((each["training_labels"] or 0 for each in shown), default=0) or 1,
        most_weight=max((each["weight"] or 0 for each in shown), default=0) or 1,
        mode=MODES[plan["classes"]["mode"]],
        columns=_columns(plan["optimizer"]["epochs_shown"]),
        chart=_chart(plan),
        rates=_rates(plan),
        estimate=_estimate(plan["estimate"]),
    )


async def _plan(page: Page, job_id: str, *, is_short: bool) -> dict[str, Any] | None:
    try:
        plan: dict[str, Any] = await page.api.get(
            f"/v1/jobs/{job_id}/plan", {"rates": "all" if is_short else None}
        )
    except ApiProblem as refused:
        if refused.status != NOT_FOUND:
            raise
        return None
    return plan


def _parts(plan: dict[str, Any]) -> list[tuple[str, list[LayerBar]]]:
    """Return the layers of backbone and head."""
    model, extent = plan["model"], plan["extent"]
    if model is None:
        return []
    first, last = extent["first_epoch"], extent["epochs"]
    bars = [_bar(layer, first, last) for layer in model["layers"]]
    cut = model["backbone_layers"]
    parts = [("Backbone", bars[:cut]), ("Head", bars[cut:])]
    return [(title, of_part) for title, of_part in parts if of_part]


def _bar(layer: dict[str, Any], first: int, last: int) -> LayerBar:
    until = layer["frozen_until"]
    frozen = 0 if until is None else max(0, min(until, last) - first + 1)
    share = 100 * frozen / max(1, last - first + 1)
    rate = f"learns at {plain_number(layer['lr_factor'])} of the rate"
    if not frozen:
        text = rate
    elif until >= last:
        text = "frozen in all epochs"
    else:
        text = f"frozen to epoch {until}, then {rate}"
    return LayerBar(layer, round(share, 2), text)


def _columns(epochs: list[int]) -> list[tuple[int, int]]:
    """Return the places and numbers of the first, the middle and the last epoch."""
    places = sorted({0, (len(epochs) - 1) // 2, len(epochs) - 1}) if epochs else []
    return [(place, epochs[place]) for place in places]


def _chart(plan: dict[str, Any]) -> Chart | None:
    """Return the chart of the learning rates; None if they are not known."""
    groups = [group for group in plan["optimizer"]["groups"] if group["rates"]]
    if not groups:
        return None
    lines = rate_lines([group["name"] for group in groups])
    series = [asdict(line) for line in lines]
    return Chart("c-rates", "Learning rate by group", series, kind="rate", source="rates")


def _rates(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the rates as columns, for the script."""
    optimizer = plan["optimizer"]
    series = {group["name"]: group["rates"] for group in optimizer["groups"] if group["rates"]}
    return {"epochs": optimizer["epochs_shown"], "series": series}


def _estimate(estimate: dict[str, Any]) -> str:
    if estimate["seconds"] is None:
        return "not known"
    device = f" on {estimate['device']}" if estimate["device"] else ""
    return f"about {duration(estimate['seconds'])}{device}"
