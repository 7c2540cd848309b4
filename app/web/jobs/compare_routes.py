"""Up to 20 jobs side by side: what differs, the curves of a metric, and the classes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Response

from app.core.path_prefix import link
from app.core.strict_json import StrictRoute
from app.web.api import Api, ApiProblem, path_below
from app.web.formats import short_metric
from app.web.jobs.compare_classes import compare_classes
from app.web.jobs.compare_table import compare_table
from app.web.jobs.one_job.file_routes import origin_of
from app.web.jobs.one_job.overview_charts import DASHES, HUES, Chart, Line
from app.web.jobs.one_job.overview_routes import chart_view
from app.web.pages import InPage, Page, with_query

MOST_JOBS: Final = 20
MOST_BARS: Final = 8
"""Jobs up to which the table of classes has bars."""
MOST_CANDIDATES: Final = 20
EMBEDDED_EPOCHS: Final = 10_000
"""Epochs of all jobs together; more are fetched by the script."""
NOT_FOUND: Final = 404
FIRST_METRICS: Final = ("metrics/mAP50-95(B)", "metrics/accuracy_top1")

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@dataclass(frozen=True)
class Compared:
    """The jobs of a comparison, and how many of those asked for cannot be seen."""

    jobs: Sequence[dict[str, Any]]
    missing: int

    @property
    def ids(self) -> list[str]:
        """The ids of the jobs."""
        return [job["id"] for job in self.jobs]


@router.get("/jobs/compare")
async def show_comparison(page: InPage) -> Response:
    """Compare jobs; with `add`, look for one more."""
    compared = await _compared(page)
    text = page.query.get("add", "").strip()
    candidates = await _candidates(page, text, compared) if text else []
    if len(candidates) == 1 and len(compared.jobs) < MOST_JOBS:
        ids = ",".join([*compared.ids, candidates[0]["id"]])
        return page.redirect("/jobs/compare", {**_kept(page), "jobs": ids})
    metrics = _metrics(compared.jobs)
    metric = page.query.get("metric", "")
    metric = metric if metric in metrics else _first_metric(compared.jobs, metrics)
    score = page.query.get("score", "")
    all_ = page.query.get("show") == "all"
    versions = await _versions(page.api, compared.jobs)
    return await page.render(
        "jobs/compare.html",
        section="Jobs",
        jobs=compared.jobs,
        missing=compared.missing,
        table=compare_table(compared.jobs, versions, all_=all_),
        top=_top(compared.jobs),
        best_of=_deciding(compared.jobs),
        shows_all=all_,
        metrics=metrics,
        metric=metric,
        chart=_chart(compared.jobs, metric) if metric else None,
        source=await _source(page.api, compared, metric) if metric else None,
        chart_view=chart_view(page.query),
        classes=await compare_classes(page.api, compared.jobs, score),
        has_bars=len(compared.jobs) <= MOST_BARS,
        candidates=candidates,
        add=text,
        query={**_kept(page), "jobs": ",".join(compared.ids)},
        address=origin_of(page.request)
        + with_query("/jobs/compare", {**_kept(page), "jobs": ",".join(compared.ids)}),
        is_full=len(compared.jobs) >= MOST_JOBS,
    )


def _kept(page: Page) -> dict[str, str]:
    """Return the settings of the address, without the jobs and without what was looked for."""
    return {name: of for name, of in page.query.items() if name not in {"jobs", "job", "add"}}


async def _compared(page: Page) -> Compared:
    """Read the jobs that the address names, as a list with commas or one by one."""
    params = page.request.query_params
    texts = [*params.getlist("jobs"), *params.getlist("job")]
    ids = list(dict.fromkeys(part for text in texts for part in text.split(",") if part))
    jobs = []
    for job_id in ids[:MOST_JOBS]:
        try:
            jobs.append(await page.api.get(path_below("/v1/jobs", job_id)))
        except ApiProblem as refused:
            if refused.status != NOT_FOUND:
                raise
    return Compared(jobs, len(ids) - len(jobs))


async def _candidates(page: Page, text: str, compared: Compared) -> list[dict[str, Any]]:
    """Return the jobs that a text finds, without those that are compared."""
    found = await page.api.get("/v1/jobs", {"q": text, "limit": MOST_CANDIDATES})
    return [job for job in found["data"] if job["id"] not in compared.ids]


async def _versions(api: Api, jobs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return names of the versions of datasets; a number only where a name has several."""
    versions = {job["dataset_version"]: job["dataset_name"] for job in jobs}
    named = {version: name or version for version, name in versions.items()}
    for version, name in versions.items():
        if name is not None and list(versions.values()).count(name) > 1:
            found = await api.get(f"/v1/datasets/{version}")
            named[version] = f"{name} {found['number']}"
    return named


def _deciding(jobs: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the metric that chooses best.pt in all jobs; None if it differs."""
    found = {job["best"]["metric"] for job in jobs if job["best"]}
    return found.pop() if len(found) == 1 else None


def _top(jobs: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the job with the best value; None where values cannot be compared."""
    rated = [job for job in jobs if job["best"] and job["best"]["value"] is not None]
    if _deciding(jobs) is None or len(rated) < 2:  # noqa: PLR2004 -- one is not the best of several
        return None
    sign = -1 if rated[0]["best"]["direction"] == "lower" else 1
    top: str = max(rated, key=lambda job: sign * job["best"]["value"])["id"]
    return top


def _metrics(jobs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the series that any of the jobs has, by name, with a title."""
    names = dict.fromkeys(name for job in jobs if job["best"] for name in job["best"]["at"] or {})
    shown = [name for name in names if name.startswith("metrics/")]
    shown += [name for name in names if name.startswith(("val/", "train/"))]
    return {name: short_metric(name) if name.startswith("metrics/") else name for name in shown}


def _first_metric(jobs: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]) -> str:
    wanted = [_deciding(jobs) or "", *FIRST_METRICS, *metrics]
    return next((name for name in wanted if name in metrics), "")


def _chart(jobs: Sequence[Mapping[str, Any]], metric: str) -> Chart:
    lines = [
        Line(
            f"{job['id']} {metric}",
            job["name"] or job["id"],
            place % HUES + 1,
            place // HUES % DASHES,
        )
        for place, job in enumerate(jobs)
    ]
    series = [asdict(line) for line in lines]
    return Chart("c-compare", short_metric(metric), series, wide=True, source="compared")


async def _source(api: Api, compared: Compared, metric: str) -> dict[str, Any]:
    """Return the curves of the jobs, or for very long ones the address to fetch them from."""
    asked = {"jobs": ",".join(compared.ids), "keys": metric}
    href = f"{link('/v1/metrics')}?{urlencode(asked)}"
    epochs = sum(job["progress"]["epoch"] for job in compared.jobs if job["progress"])
    if epochs > EMBEDDED_EPOCHS:
        return {"href": href, "data": None}
    found = await api.get("/v1/metrics", asked)
    parts = ("epochs", "seconds", "series")
    jobs = {id_: {part: of[part] for part in parts} for id_, of in found["jobs"].items()}
    return {"href": href, "data": {"jobs": jobs}}
