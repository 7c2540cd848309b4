"""A job, as programs hold it."""

from typing import TYPE_CHECKING

from trainyard.operations import jobs as operations
from trainyard.views.jobs import JobErrorView, JobView, ProgressView

if TYPE_CHECKING:
    from trainyard.client import Client


class JobFacts:
    """What the last answer of the server said about a job. `view` has all of it."""

    def __init__(self, view: JobView) -> None:
        self.view = view

    @property
    def id(self) -> str:
        """The id, `job_…`."""
        return self.view.id

    @property
    def name(self) -> str | None:
        """The name; need not be unique."""
        return self.view.name

    @property
    def state(self) -> str:
        """`queued`, `running`, `paused`, `succeeded`, `failed` or `cancelled`."""
        return self.view.state

    @property
    def progress(self) -> ProgressView | None:
        """How far the training is; None before its first batch."""
        return self.view.progress

    @property
    def error(self) -> JobErrorView | None:
        """Why the job failed."""
        return self.view.error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state}>"


class Job(JobFacts):
    """A job.

    Args:
        client: that reads and steers it.
        view: what the server said.
    """

    def __init__(self, client: "Client", view: JobView) -> None:
        super().__init__(view)
        self._client = client

    def refresh(self) -> "Job":
        """Read the job again."""
        self.view = self._client.run(operations.read_job(self._client.connection, self.id))
        return self
