"""A job, as programs with `await` hold it."""

from typing import TYPE_CHECKING

from trainyard.job import JobFacts
from trainyard.operations import jobs as operations
from trainyard.views.jobs import JobView

if TYPE_CHECKING:
    from trainyard.async_client import AsyncClient


class AsyncJob(JobFacts):
    """A job.

    Args:
        client: that reads and steers it.
        view: what the server said.
    """

    def __init__(self, client: "AsyncClient", view: JobView) -> None:
        super().__init__(view)
        self._client = client

    async def refresh(self) -> "AsyncJob":
        """Read the job again."""
        self.view = await self._client.run(operations.read_job(self._client.connection, self.id))
        return self
