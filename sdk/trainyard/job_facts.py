"""What is known about a job without asking the server again."""

from collections.abc import Callable
from pathlib import Path

from trainyard.notebook import job_html
from trainyard.operations.downloads import Download
from trainyard.operations.results import artifact_address
from trainyard.views.jobs import BestView, JobErrorView, JobView, ProgressView

OnBytes = Callable[[int, int], None]


class JobFacts:
    """What the last answer of the server said about a job. `view` has all of it.

    Args:
        view: the answer.
        server: the address of the server.
    """

    def __init__(self, view: JobView, server: str) -> None:
        self.view = view
        self._server = server

    @property
    def id(self) -> str:
        """The id, `job_…`."""
        return self.view.id

    @property
    def name(self) -> str | None:
        """The name; it need not be unique."""
        return self.view.name

    @property
    def state(self) -> str:
        """`queued`, `running`, `paused`, `succeeded`, `failed` or `cancelled`."""
        return self.view.state

    @property
    def has_ended(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return self.view.has_ended

    @property
    def progress(self) -> ProgressView | None:
        """How far the training is; None before its first batch."""
        return self.view.progress

    @property
    def error(self) -> JobErrorView | None:
        """Why the job failed."""
        return self.view.error

    @property
    def url(self) -> str:
        """The page of the job."""
        return f"{self._server}/jobs/{self.id}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state}>"

    def _repr_html_(self) -> str:
        return job_html(self.view, self.url)

    def _download(self, name: str, path: str | Path | None, on_bytes: OnBytes | None) -> Download:
        return Download(artifact_address(self.id, name), target_of(name, path), on_bytes=on_bytes)


class BestFacts:
    """The epoch whose weights `best.pt` has; all None before the first epoch has ended.

    Args:
        view: what the server said.
    """

    def __init__(self, view: BestView | None) -> None:
        self.view = view

    @property
    def epoch(self) -> int | None:
        """The number of the epoch."""
        return None if self.view is None else self.view.epoch

    @property
    def metric(self) -> str | None:
        """The metric that chose it."""
        return None if self.view is None else self.view.metric

    @property
    def value(self) -> float | None:
        """The value of that metric."""
        return None if self.view is None else self.view.value


def target_of(name: str, path: str | Path | None) -> Path:
    """Return where to put a file.

    Args:
        name: of the file.
        path: of a file, or of a folder that exists; None: the working directory.
    """
    if path is None:
        return Path(name)
    target = Path(path).expanduser()
    return target / name if target.is_dir() else target
