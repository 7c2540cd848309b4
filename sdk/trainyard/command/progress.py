"""How far the sending of a dataset is: a bar in a terminal, a line for each step elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from trainyard.command.text import say
from trainyard.operations.pushes import OnProgress, PushProgress

STEPS: Final = {
    "reading": "Reading the files",
    "sending": "Sending what the server lacks",
    "verifying": "The server verifies the dataset",
}


@contextmanager
def shown_progress() -> Iterator[OnProgress]:
    """Show the progress on stderr while the block runs."""
    if sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield _lines()


def _lines() -> OnProgress:
    told: set[str] = set()

    def show(progress: PushProgress) -> None:
        if progress.step not in told:
            told.add(progress.step)
            say(f"{STEPS.get(progress.step, progress.step)} …")

    return show


@contextmanager
def _bars() -> Iterator[OnProgress]:
    from rich.console import Console  # noqa: PLC0415 -- slow
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(progress: PushProgress) -> None:
            step = progress.step
            if step not in tasks:
                tasks[step] = bars.add_task(STEPS.get(step, step), total=1.0)
            bars.update(tasks[step], completed=progress.done or 0.0)

        yield show
        for task in tasks.values():
            bars.update(task, completed=1.0)
