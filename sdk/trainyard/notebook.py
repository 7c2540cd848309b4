"""A job in a notebook. IPython shows it live if it is there; nothing here requires it."""

import sys
from html import escape
from typing import Any, Final

from trainyard.views.jobs import JobView
from trainyard.views.stream import JobEvent, StreamItem, Tick

BAR: Final = (
    '<div style="background:#ddd;width:20em;height:.6em">'
    '<div style="background:#3a7;height:.6em;width:{percent:.0f}%"></div></div>'
)
SPARK_WIDTH: Final = 200
SPARK_HEIGHT: Final = 40


def job_html(view: JobView, url: str, tick: Tick | None = None) -> str:
    """Return a job as HTML. All texts of the server are escaped.

    Args:
        view: of the job.
        url: of its page.
        tick: how far it is, if that is newer.
    """
    rows = [("state", escape(f"{view.state} {view.phase or ''}".strip()))]
    rows += _progress_rows(view, tick)
    if view.best is not None and view.best.value is not None:
        text = f"{view.best.metric} {view.best.value:.5g} (epoch {view.best.epoch})"
        rows.append(("best", escape(text)))
    curve = [value for value in view.curve if value is not None]
    if len(curve) > 1:
        rows.append(("curve", _sparkline(curve)))
    if view.error is not None:
        rows.append(("error", escape(f"{view.error.title} {view.error.hint}")))
    cells = "".join(f"<tr><th style='text-align:left'>{n}</th><td>{c}</td></tr>" for n, c in rows)
    title = escape(view.name or view.id)
    return f'<table><caption><a href="{escape(url)}">{title}</a></caption>{cells}</table>'


def _progress_rows(view: JobView, tick: Tick | None) -> list[tuple[str, str]]:
    progress = view.progress
    epoch = tick.epoch if tick is not None else progress and progress.epoch
    epochs = tick.epochs if tick is not None else progress and progress.epochs
    if not epoch or not epochs:
        return []
    done = tick.done if tick is not None and tick.done is not None else epoch / epochs
    eta = tick.eta_seconds if tick is not None else progress and progress.eta_seconds
    left = "" if eta is None else f", {eta:.0f} s left"
    rows = [("epoch", f"{epoch} of {epochs}{left} {BAR.format(percent=100 * min(done, 1.0))}")]
    losses = tick.losses if tick is not None else (progress.losses if progress else {})
    shown = [f"{name} {value:.4g}" for name, value in losses.items() if value is not None]
    return [*rows, ("losses", escape(", ".join(shown)))] if shown else rows


def _sparkline(values: list[float]) -> str:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = SPARK_WIDTH / (len(values) - 1)
    points = " ".join(
        f"{index * step:.1f},{(SPARK_HEIGHT - 2) * (1 - (value - low) / span) + 1:.1f}"
        for index, value in enumerate(values)
    )
    return (
        f'<svg width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}">'
        f'<polyline points="{points}" fill="none" stroke="#3a7" stroke-width="1.5"/></svg>'
    )


class LiveView:
    """Shows a job while it is followed: as HTML in a notebook, as lines elsewhere.

    Args:
        view: of the job.
        url: of its page.
    """

    def __init__(self, view: JobView, url: str) -> None:
        self._url = url
        self._view = view
        self._handle = _display(job_html(view, url))

    def show(self, item: StreamItem) -> bool:
        """Show an item of the stream; return whether the job should be read again for it."""
        if isinstance(item, Tick):
            self._update(item)
        elif self._handle is None:
            sys.stdout.write(f"{_line(item)}\n")
        return isinstance(item, JobEvent)

    def renew(self, view: JobView) -> None:
        """Show a newer status of the job."""
        self._view = view
        self._update(None)

    def _update(self, tick: Tick | None) -> None:
        if self._handle is not None:
            self._handle.update(_Html(job_html(self._view, self._url, tick)))


class _Html:
    """Something that a notebook shows as HTML."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text


def _display(text: str) -> Any:  # noqa: ANN401
    """Show HTML in the notebook in which this runs; return a handle, None outside of one."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        return None
    from IPython.display import display  # type: ignore[import-not-found] # noqa: PLC0415

    return display(_Html(text), display_id=True)


def _line(event: JobEvent) -> str:
    numbers = event.data.get("metrics")
    shown = ""
    if isinstance(numbers, dict):
        pairs = ((name, value) for name, value in numbers.items() if isinstance(value, float))
        shown = "  ".join(f"{name} {value:.4g}" for name, value in pairs)
    epoch = event.data.get("epoch", "")
    return f"{event.created_at:%H:%M:%S} {event.type} {epoch} {shown}".rstrip()
