"""The live view of a job in a terminal: its state, progress, losses, and a curve."""

from collections.abc import Sequence
from typing import Final, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trainyard.command.text import cell, duration, printable
from trainyard.job import Job
from trainyard.views.stream import StreamItem, Tick

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
HEIGHT: Final = 5
WIDEST: Final = 72
EPOCH: Final = "epoch.finished"


def show_live(job: Job, stream: TextIO) -> None:
    """Show a job until it has ended; the last view stays on the screen."""
    console = Console(file=stream)
    view = JobScreen(job, console.width)
    with Live(view.render(), console=console, refresh_per_second=4, transient=False) as live:
        for item in job.follow():
            if view.take(item):
                job.refresh()
            live.update(view.render())
        job.refresh()
        live.update(view.render(), refresh=True)


class JobScreen:
    """What is shown of a job.

    Args:
        job: that is followed.
        width: of the terminal.
    """

    def __init__(self, job: Job, width: int) -> None:
        self._job = job
        self._width = max(20, min(width - 4, WIDEST))
        self._tick: Tick | None = None

    def take(self, item: StreamItem) -> bool:
        """Take an item of the stream; return whether the job should be read again for it."""
        if isinstance(item, Tick):
            self._tick = item
            return False
        return item.type == EPOCH or item.type.startswith("job.")

    def render(self) -> Group:
        """Return the view."""
        view = self._job.view
        title = Text(printable(f"{view.name or view.id}  {view.state} {view.phase or ''}".rstrip()))
        title.stylize("bold")
        parts: list[Text | Table] = [title, Text(printable(self._job.url), "dim")]
        done = self._done()
        if done is not None:
            bar = Table.grid()  # a bar alone would not end its line
            bar.add_row(ProgressBar(total=1.0, completed=done, width=self._width))
            parts.append(bar)
        parts.append(self._table())
        values = [value for value in view.curve if value is not None]
        if len(values) > 1:
            name = view.best.metric if view.best else "metric"
            label = f"{name}  {min(values):.4g} to {max(values):.4g}"
            parts.append(Text(printable(label), "dim"))
            parts += [Text(line, "cyan") for line in curve(values, self._width)]
        return Group(*parts)

    def _done(self) -> float | None:
        view, tick = self._job.view, self._tick
        if view.state == "succeeded":
            return 1.0
        if tick is not None and tick.done is not None:
            return min(tick.done, 1.0)
        progress = view.progress
        return progress.epoch / progress.epochs if progress and progress.epochs else None

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        view, tick, progress = self._job.view, self._tick, self._job.view.progress
        if tick is not None and tick.epoch is not None and not view.has_ended:
            batches = "" if tick.batch is None else f", batch {tick.batch} of {tick.batches}"
            table.add_row("epoch", f"{tick.epoch} of {tick.epochs}{batches}")
            table.add_row("left", duration(tick.eta_seconds))
        elif progress is not None:
            table.add_row("epoch", f"{progress.epoch} of {progress.epochs}")
        losses = tick.losses if tick is not None else (progress.losses if progress else {})
        if losses:
            table.add_row("losses", cell(losses))
        if view.best is not None and view.best.value is not None:
            best = f"{view.best.metric} {view.best.value:.5g} in epoch {view.best.epoch}"
            table.add_row("best", printable(best))
        if view.waiting_reason:
            table.add_row("waits for", cell(view.waiting_reason))
        if view.error is not None:
            table.add_row("error", cell(f"{view.error.title}. {view.error.hint}"))
        return table


def curve(values: Sequence[float], width: int) -> list[str]:
    """Return the values as lines of blocks, the highest line first."""
    shown = _fitted(values, width)
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    levels = [round((value - low) / span * (HEIGHT * 8 - 1)) + 1 for value in shown]
    lines = []
    for row in range(HEIGHT - 1, -1, -1):
        cells = (BLOCKS[max(0, min(8, level - row * 8))] for level in levels)
        lines.append("".join(cells).rstrip())
    return lines


def _fitted(values: Sequence[float], width: int) -> list[float]:
    """Return at most `width` values: of more, the last of each part."""
    if len(values) <= width:
        return list(values)
    return [values[(index + 1) * len(values) // width - 1] for index in range(width)]
