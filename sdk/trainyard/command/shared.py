"""What all verbs share: their options, the client, how a job is named, and the browser."""

import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from trainyard.client import Client
from trainyard.errors import TrainyardError
from trainyard.job import Job

Url = Annotated[str | None, typer.Option("--url", help="Address of the server [TRAINYARD_URL].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reference = Annotated[
    str, typer.Argument(metavar="JOB", help="Id or name of the job, or @last for the newest.")
]
LAST: Final = "@last"


class UnknownJob(TrainyardError):
    """No job has this name."""


@contextmanager
def opened(url: str | None) -> Iterator[Client]:
    """Open the client of the server that the options, the environment or a file name."""
    client = Client(url)
    try:
        yield client
    finally:
        client.close()


def find_job(client: Client, reference: str) -> Job:
    """Return a job by its id or name, or the newest one.

    Raises:
        UnknownJob: no job has this name.
    """
    if reference == LAST:
        newest = client.jobs.list(limit=1).first()
        if newest is None:
            raise UnknownJob("There is no job yet.")
        return client.jobs.get(newest.id)
    if reference.startswith("job_"):
        return client.jobs.get(reference)
    found = client.jobs.list(name=reference, limit=1).first()
    if found is None:
        raise UnknownJob(f"No job is called {reference}. `trainyard jobs` lists them.")
    return client.jobs.get(found.id)


def show_in_browser(address: str) -> bool:
    """Open an address in the browser of this desktop; return whether one opened.

    Without a desktop a browser of texts would take over the terminal.
    """
    has_windows = sys.platform in {"darwin", "win32"} or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return has_windows and webbrowser.open(address)
