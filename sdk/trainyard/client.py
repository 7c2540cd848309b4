"""The client with blocking calls."""

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

from trainyard.configuration import find_server
from trainyard.core.connection import Connection
from trainyard.core.drivers import SyncDriver
from trainyard.core.steps import Operation
from trainyard.job import Job
from trainyard.operations import jobs as job_operations
from trainyard.operations.pages import Listing
from trainyard.paging import Pager
from trainyard.views.jobs import JobRow, ParsedView, PlanView
from trainyard.views.results import ManyMetricsView

T = TypeVar("T")


class Client:
    """A connection to a server. It can be used by several threads.

    Args:
        url: of the server; see `trainyard.configuration` for where it comes from without it.
        key: the API key; from the same places.
        patience_seconds: how long requests are repeated while the server does not answer.

    Raises:
        ConfigurationError: no server is known.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, patience_seconds: float = 60.0
    ) -> None:
        self.server = find_server(url, key)
        self.connection = Connection(self.server.url, patience_seconds)
        self.driver = SyncDriver(self.server)
        self.jobs = Jobs(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.driver.close()

    def run(self, operation: Operation[T]) -> T:
        """Run an operation of this client's connection."""
        return self.driver.run(operation)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401
        """Send a request to any route and return the JSON of the answer.

        Args:
            method: of HTTP.
            path: such as `/v1/jobs`.
            params: of the query; None values are left out.
            json: the body.
            headers: besides those that every request has.

        Returns:
            The JSON; a text if the answer is of another type, None if it has no body.

        Raises:
            ProblemError: the server refused the request, or failed.
            UnreachableError: no answer came.
        """
        options = {"params": params, "json": json, "headers": headers}
        return self.run(self.connection.json(method, path, **options))


class Jobs:
    """The jobs of the server.

    Args:
        client: that reads them.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, **filters: Any) -> Pager[JobRow]:  # noqa: ANN401
        """Return the jobs, newest first.

        Args:
            filters: the query parameters of `GET /v1/jobs`: `state`, `dataset`, `q`, `sort`, …
        """
        listing = Listing(self._client.connection, "/v1/jobs", JobRow, filters)
        return Pager(self._client.driver, listing)

    def get(self, job: str) -> Job:
        """Return a job by its id."""
        view = self._client.run(job_operations.read_job(self._client.connection, job))
        return Job(self._client, view)

    def submit(self, spec: Mapping[str, Any], idempotency_key: str | None = None) -> Job:
        """Submit a job.

        Args:
            spec: the body of `POST /v1/jobs`.
            idempotency_key: submits once, however often it is sent with the same spec; a new one
                if it is None.
        """
        connection = self._client.connection
        view = self._client.run(job_operations.submit_job(connection, spec, idempotency_key))
        return Job(self._client, view)

    def plan(self, spec: Mapping[str, Any]) -> PlanView:
        """Return what a job would do, without submitting it."""
        return self._client.run(job_operations.plan_job(self._client.connection, spec))

    def parse(self, text: str) -> ParsedView:
        """Return a training in Ultralytics' words as a spec."""
        return self._client.run(job_operations.parse_job(self._client.connection, text))

    def compare(self, jobs: Sequence[str], **params: Any) -> ManyMetricsView:  # noqa: ANN401
        """Return the metrics of up to 20 jobs.

        Args:
            jobs: their ids.
            params: `keys`, `since` and `until` of `GET /v1/metrics`.
        """
        return self._client.run(job_operations.compare_jobs(self._client.connection, jobs, params))
