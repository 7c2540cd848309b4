"""`watch`: a job while it trains, as a live view in a terminal and as lines elsewhere."""

import json
import sys
from typing import Final, TextIO

import typer

from trainyard.command.exits import INTERRUPTED
from trainyard.command.shared import AsJson, Reference, Url, find_job, opened
from trainyard.command.text import printable, put, put_json, say
from trainyard.job import Job
from trainyard.views.stream import EpochView, JobEvent, StreamItem

EPOCH: Final = "epoch.finished"
SHOWN: Final = ("train/", "metrics/")
"""How the columns begin that a line shows."""


def watch(job: Reference, *, url: Url = None, as_json: AsJson = False) -> None:
    """Show a job until it has ended. Ctrl-C leaves; the job goes on.

    The exit status is 3 if the job failed, and 7 if it was cancelled.
    """
    with opened(url) as client:
        found = find_job(client, job)
        if as_json:
            _print_items(found)
        else:
            show_until_end(found, sys.stdout)
            put(f"{found.id} {found.state}")
        found.wait(timeout=60)


def show_until_end(job: Job, stream: TextIO) -> None:
    """Show a job on a stream until it has ended, and read it once more then.

    Raises:
        typer.Exit: a person pressed Ctrl-C; the job goes on.
    """
    try:
        if stream.isatty():
            from trainyard.command.screen import show_live  # noqa: PLC0415 -- imports rich

            show_live(job, stream)
        else:
            for item in job.follow():
                for line in lines_of(item, job):
                    stream.write(f"{printable(line)}\n")
                    stream.flush()
    except KeyboardInterrupt:
        say(way_back(job))
        raise typer.Exit(INTERRUPTED) from None
    job.refresh()


def way_back(job: Job) -> str:
    """Return what a person can do who left a job."""
    return (
        f"\nThe job {job.id} goes on.\n"
        f"  show it again      trainyard watch {job.id}\n"
        f"  fetch its results  trainyard download {job.id}\n"
        f"  cancel it          trainyard cancel {job.id}"
    )


def lines_of(item: StreamItem, job: Job) -> list[str]:
    """Return what an item says, as lines without a terminal."""
    if not isinstance(item, JobEvent):
        return []
    if item.type == EPOCH:
        return [epoch_line(EpochView.model_validate(item.data), job)]
    if item.type.startswith("job."):
        return [item.type.removeprefix("job.").replace("_", " ")]
    return []


def epoch_line(epoch: EpochView, job: Job) -> str:
    """Return the line of a finished epoch."""
    total = job.view.spec.get("train", {}).get("epochs") or job.view.resolved.get("epochs")
    if job.view.progress is not None:
        total = job.view.progress.epochs
    shown = [
        f"{name.partition('/')[2]} {value:.4g}"
        for name, value in epoch.metrics.items()
        if value is not None and name.startswith(SHOWN)
    ]
    return f"epoch {epoch.epoch}{f'/{total}' if total else ''}  {'  '.join(shown)}".rstrip()


def _print_items(job: Job) -> None:
    """Print each item of the stream as one line of JSON."""
    try:
        for item in job.follow():
            sys.stdout.write(json.dumps(item.model_dump(mode="json")) + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        say(way_back(job))
        raise typer.Exit(INTERRUPTED) from None
    put_json(job.refresh().view)
