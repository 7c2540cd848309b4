"""The files of a job: what each is for, its checks and its digest, and how to download it."""

import re
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from app.core.strict_json import StrictRoute
from app.web.formats import short_metric
from app.web.jobs.one_job.job_header import Job, JobHeader, read_header
from app.web.jobs.one_job.tabs import render_tab
from app.web.pages import InPage, Page

PURPOSES: Final = {
    "last.pt": "Weights of the last epoch",
    "results.csv": "Every epoch, every column",
    "per_class.csv": "Each class in every epoch",
    "args.yaml": "The arguments as Ultralytics got them",
    "spec.json": "The spec as it was sent",
    "plan.json": "The plan made when the job was submitted",
    "provenance.json": "Digests, versions and machines behind the results",
    "train.log": "Log of the last attempt",
}
EARLIER_LOG: Final = re.compile(r"train\.(\d+)\.log")
KEPT_BEST: Final = re.compile(r"best_(.+)\.pt")
GROUPS: Final = (
    ("Weights", frozenset({"weights"})),
    ("Tables", frozenset({"table"})),
    ("Logs and configuration", frozenset({"log", "config"})),
    ("Images", frozenset({"plot"})),
)
ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})

router = APIRouter(route_class=StrictRoute, include_in_schema=False)


@dataclass(frozen=True)
class FileRow:
    """A file, what it is for, and the command that downloads it."""

    file: dict[str, Any]
    purpose: str
    curl: str


@router.get("/jobs/{job_id}/files")
async def show_files(job_id: str, page: InPage) -> Response:
    """Show the files, those that a running job has already included."""
    header = await read_header(page, job_id)
    origin = origin_of(page.request)
    current = [] if header.job["state"] in ENDED else await _current_files(page, job_id)
    groups = [("Current, of the training that goes on", current)] if current else []
    groups += [
        (title, [file for file in header.files if file["kind"] in kinds]) for title, kinds in GROUPS
    ]
    proven = next((file["checks"] for file in header.files if file["checks"]), None)
    return await render_tab(
        page,
        header,
        "Files",
        "files.html",
        groups=[
            (title, [FileRow(file, _purpose(file, header), _curl(origin, file)) for file in files])
            for title, files in groups
            if files
        ],
        proven=proven,
        zip_curl=_command(origin, header.job["links"]["artifacts_zip"], "-OJ"),
        total_bytes=sum(file["size_bytes"] for file in header.files),
    )


async def _current_files(page: Page, job_id: str) -> list[dict[str, Any]]:
    """Return the files of the newest checkpoint that can be downloaded."""
    found = await page.api.get(f"/v1/jobs/{job_id}/checkpoints")
    files = [file for file in found["data"] if file["links"].get("download")]
    newest = max((file["epoch"] for file in files), default=None)
    return [file for file in files if file["epoch"] == newest]


def origin_of(request: Request) -> str:
    """Return scheme and host by which the browser reaches this server."""
    return f"{request.url.scheme}://{request.url.netloc}"


def _curl(origin: str, file: dict[str, Any]) -> str:
    return _command(origin, file["links"]["download"], "-O")


def _command(origin: str, path: str, option: str) -> str:
    return f'curl -fsS -H "Authorization: Bearer $KEY" {option} {origin}{path}'


def _purpose(file: dict[str, Any], header: JobHeader) -> str:
    """Return what a file is for; empty if its name says no more than its kind."""
    name, job = file["name"], header.job
    if name == "best.pt":
        return f"Weights of the best epoch by {_deciding(job)}"
    if kept := KEPT_BEST.fullmatch(name):
        return _purpose_of_kept(kept[1], job)
    if log := EARLIER_LOG.fullmatch(name):
        return f"Log of attempt {log[1]}"
    return PURPOSES.get(name) or file["title"] or ""


def _deciding(job: Job) -> str:
    chosen = (job["resolved"].get("customize") or {}).get("best_model") or {}
    return short_metric(chosen.get("metric") or "fitness")


def _purpose_of_kept(name: str, job: Job) -> str:
    """Return what `best_<name>.pt` of `customize.keep_best` holds."""
    kept = (job["resolved"].get("customize") or {}).get("keep_best") or []
    rule = next((each for each in kept if each["name"] == name), None)
    if rule is None:
        return "Weights of another best epoch"
    bounds = [
        f"{short_metric(metric)} is {words} {limit[bound]}"
        for metric, limit in (rule.get("where") or {}).items()
        for bound, words in (("min", "at least"), ("max", "at most"))
        if limit.get(bound) is not None
    ]
    where = f" where {' and '.join(bounds)}" if bounds else ""
    return f"Weights of the epoch with the best {short_metric(rule['metric'])}{where}"
