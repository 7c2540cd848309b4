"""`metrics`, `compare` and `download`: what jobs made."""

import csv
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from trainyard.client import Client
from trainyard.command.shared import AsJson, Reference, Url, find_job, opened
from trainyard.command.text import put, put_json, put_rows, say
from trainyard.job import Job
from trainyard.operations.runs import fetch_run
from trainyard.run_folder import folder_of_job
from trainyard.views.results import MetricsView


def metrics(
    job: Reference,
    *,
    keys: Annotated[
        list[str] | None, typer.Option("--key", help="Only this column; may be repeated.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print the metrics of every finished epoch as CSV."""
    with opened(url) as client:
        found = find_job(client, job).metrics(keys=",".join(keys) if keys else None)
    if as_json:
        put_json(found)
        return
    columns = found.columns()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))


def compare(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids or names of jobs.")],
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Compare jobs by the metrics of their best epochs."""
    with opened(url) as client:
        found = {job.id: job for job in (find_job(client, reference) for reference in jobs)}
        answer = client.jobs.compare(list(found))
    if as_json:
        put_json(answer)
        return
    names = {name for view in answer.jobs.values() for name in view.series}
    shown = sorted(name for name in names if name.startswith("metrics/"))
    rows = [{"job": found[id_].name or id_, **_best_of(view)} for id_, view in answer.jobs.items()]
    put_rows(rows, ("job", "epoch", *shown))


def _best_of(view: MetricsView) -> dict[str, Any]:
    """Return the values of the best epoch; of the last one if none is best."""
    if not view.epochs:
        return {}
    epoch = view.epochs[-1] if view.best is None else view.best
    at = view.epochs.index(epoch)
    return {"epoch": epoch, **{name: values[at] for name, values in view.series.items()}}


def download(
    job: Reference,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Default: all files.")
    ] = None,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for one, folder for several.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Download files of a job by name, or all of them into a folder such as `yolo` makes.

    Prints where each file is. Downloads are resumed, and checked against their SHA-256.
    """
    with opened(url) as client:
        found = find_job(client, job)
        if not names:
            paths = _all_files(client, found, output or folder_of_job(found.name, found.id))
        else:
            if output is not None and len(names) > 1:
                output.mkdir(parents=True, exist_ok=True)
            paths = [
                found.best.download(output) if name == "best.pt" else found.download(name, output)
                for name in names
            ]
    if as_json:
        put_json([str(path) for path in paths])
        return
    for path in paths:
        put(str(path))
    if not paths:
        say("The job has no files yet.")


def _all_files(client: Client, job: Job, folder: Path) -> list[Path]:
    """Download what `yolo` would have written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    own = {"model": job.view.model, "data": job.view.dataset_name}
    return client.run(fetch_run(client.connection, job.id, folder, own))
