"""The controls of a job: each asks the server, and prints the job's state afterwards."""

from typing import Annotated

import typer

from trainyard.command.shared import AsJson, Reference, Url, find_job, opened
from trainyard.command.text import put, put_json
from trainyard.command.words import merge, set_by_words
from trainyard.job import Job


def stop(job: Reference, *, url: Url = None, as_json: AsJson = False) -> None:
    """End a job after the current epoch, and keep its result."""
    with opened(url) as client:
        _print(find_job(client, job).stop(), as_json=as_json)


def pause(job: Reference, *, url: Url = None, as_json: AsJson = False) -> None:
    """Free the slot of a job; `resume` continues it."""
    with opened(url) as client:
        _print(find_job(client, job).pause(), as_json=as_json)


def resume(job: Reference, *, url: Url = None, as_json: AsJson = False) -> None:
    """Queue a paused job again."""
    with opened(url) as client:
        _print(find_job(client, job).resume(), as_json=as_json)


def cancel(job: Reference, *, url: Url = None, as_json: AsJson = False) -> None:
    """Cancel a job."""
    with opened(url) as client:
        _print(find_job(client, job).cancel(), as_json=as_json)


def retry(job: Reference, *, url: Url = None, as_json: AsJson = False) -> None:
    """Start a failed or cancelled job again, from its last checkpoint if it has one."""
    with opened(url) as client:
        _print(find_job(client, job).retry(), as_json=as_json)


def extend(
    job: Reference,
    epochs: Annotated[int, typer.Argument(help="The new total number of epochs.", min=1)],
    *,
    name: Annotated[str | None, typer.Option(help="Name of the new job.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Train an ended job for more epochs, as a new job, and print the id of that."""
    with opened(url) as client:
        _print_new(find_job(client, job).extend(epochs, name), as_json=as_json)


def clone(
    job: Reference,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as train.epochs=50."),
    ] = None,
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job again, with changes of its spec by path, and print the id of the new one."""
    with opened(url) as client:
        changes = merge({}, set_by_words(words or []))
        _print_new(find_job(client, job).clone(**changes), as_json=as_json)


def _print(job: Job, *, as_json: bool) -> None:
    if as_json:
        put_json(job.view)
    else:
        asked = f" ({job.view.request} requested)" if job.view.request else ""
        put(f"{job.id} {job.state}{asked}")


def _print_new(job: Job, *, as_json: bool) -> None:
    if as_json:
        put_json(job.view)
    else:
        put(job.id)
