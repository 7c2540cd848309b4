"""`jobs`, `show`, `wait`, `logs` and `open`: what happens to jobs."""

from typing import Annotated, Any

import typer

from trainyard.command.shared import AsJson, Reference, Url, find_job, opened, show_in_browser
from trainyard.command.text import cell, duration, put, put_fields, put_json, put_rows, say
from trainyard.views.jobs import JobRow, JobView

COLUMNS = ("id", "name", "state", "epoch", "best", "model", "dataset", "created")


def list_jobs(
    *,
    state: Annotated[list[str] | None, typer.Option(help="Only jobs in this state.")] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only jobs with this tag, KEY:VALUE.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many, at most.", min=1)] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with opened(url) as client:
        filters = {"state": state or None, "project": project, "tag": tag or None}
        pager = client.jobs.list(**filters, limit=min(limit, 200))
        rows = [row for row, _ in zip(pager, range(limit), strict=False)]
    if as_json:
        put_json(rows)
    else:
        put_rows(map(_row, rows), COLUMNS)


def show(job: Reference, *, url: Url = None, as_json: AsJson = False) -> None:
    """Show a job: its state, progress, best epoch, and why it failed."""
    with opened(url) as client:
        found = find_job(client, job)
    if as_json:
        put_json(found.view)
    else:
        put_fields({**_fields(found.view), "page": found.url})


def wait(
    job: Reference,
    *,
    until: Annotated[str, typer.Option("--for", help="ended or started.")] = "ended",
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.", min=0)] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Wait until a job has ended, or has started, and print its state.

    The exit status is 3 if the job failed, 7 if it was cancelled, 8 if the time was up.
    """
    if until not in {"ended", "started"}:
        raise typer.BadParameter("write ended or started", param_hint="--for")
    with opened(url) as client:
        found = find_job(client, job).wait(timeout, until=until)
    if as_json:
        put_json(found.view)
    else:
        put(found.state)


def logs(
    job: Reference,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    tail: Annotated[int | None, typer.Option(help="Only the last lines.", min=1)] = None,
    attempt: Annotated[int | None, typer.Option(help="Of this attempt.", min=1)] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print the training log of a job."""
    if follow and (tail is not None or attempt is not None):
        raise typer.BadParameter("it prints the whole log", param_hint="--follow")
    with opened(url) as client:
        found = find_job(client, job)
        if follow:
            for line in found.logs(follow=True):
                put_json({"line": line}) if as_json else put(line)
            return
        text = found.logs(tail=tail, attempt=attempt)
    if as_json:
        put_json({"lines": text.splitlines()})
    else:
        for line in text.splitlines():
            put(line)


def open_page(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Default: all jobs.")] = None,
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Open the page of a job, or of all jobs, in a browser, and print its address."""
    with opened(url) as client:
        address = f"{client.server.url}/jobs" if job is None else find_job(client, job).url
    if as_json:
        put_json({"url": address})
    else:
        put(address)
    if not show_in_browser(address):
        say("No browser could be opened.")


def _row(job: JobRow) -> dict[str, Any]:
    progress, best = job.progress, job.best
    return {
        "id": job.id,
        "name": job.name,
        "state": job.phase if job.state == "running" and job.phase else job.state,
        "epoch": progress and f"{progress.epoch}/{progress.epochs}",
        "best": best and best.value,
        "model": job.model,
        "dataset": job.dataset_name,
        "created": job.created_at,
    }


def _fields(job: JobView) -> dict[str, Any]:
    row = _row(job)
    best = job.best
    return {
        **row,
        "state": f"{job.state} {job.phase or ''}".strip(),
        "waits for": job.waiting_reason,
        "best": best and f"{best.metric} {cell(best.value)} in epoch {best.epoch}",
        "losses": job.progress and job.progress.losses,
        "left": duration(job.progress.eta_seconds)
        if job.progress and job.state == "running"
        else None,
        "took": duration(job.duration_seconds) if job.started_at else None,
        "tags": job.tags,
        "error": job.error and f"{job.error.title}: {job.error.message}",
        "advice": job.error and job.error.hint,
    }
