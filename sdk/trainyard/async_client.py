"""The client with `await`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from trainyard.async_job import AsyncJob
from trainyard.async_sections import AsyncDatasets, AsyncJobs, AsyncModels
from trainyard.configuration import find_server
from trainyard.core.connection import Connection
from trainyard.core.drivers import AsyncDriver
from trainyard.core.steps import Operation
from trainyard.operations import training
from trainyard.operations.pushes import OnProgress
from trainyard.views.datasets import DatasetView

T = TypeVar("T")


class AsyncClient:
    """A connection to a server. It belongs to one event loop.

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
        self.driver = AsyncDriver(self.server)
        self.jobs = AsyncJobs(self)
        self.datasets = AsyncDatasets(self)
        self.models = AsyncModels(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.driver.close()

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation of this client's connection."""
        return await self.driver.run(operation)

    async def request(
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
        return await self.run(self.connection.json(method, path, **options))

    async def train(  # noqa: PLR0913 - the fields of a training
        self,
        data: str | Path | DatasetView,
        model: str | Path,
        *,
        customize: Mapping[str, Any] | None = None,
        name: str | None = None,
        project: str | None = None,
        task: str | None = None,
        queue: str | None = None,
        gpus: int | None = None,
        priority: int | None = None,
        tags: Mapping[str, str] | None = None,
        notes: str | None = None,
        idempotency_key: str | None = None,
        progress: OnProgress | None = None,
        **arguments: Any,  # noqa: ANN401
    ) -> AsyncJob:
        """Send the dataset and the weights as far as the server lacks them, and submit a job.

        Args:
            data: a data.yaml, folder or archive of this machine, as for `yolo`; or a dataset of the
                server: its id, its name, or what `datasets.push` returned.
            model: a `.pt` file of this machine, or a model of the server.
            customize: the customizations of the training.
            name: of the job.
            project: of the server.
            task: None: the task of the model.
            queue: to wait in.
            gpus: 0 or 1; None: any slot.
            priority: higher ones run first.
            tags: to filter by.
            notes: free text.
            idempotency_key: submits once, however often it is sent with the same spec.
            progress: told how far the sending of the dataset is.
            arguments: training arguments, such as `epochs` and `imgsz`.

        Raises:
            LayoutError: the dataset cannot be read; nothing was sent.
            DatasetInvalidError: the verification found errors.
        """
        texts = {"name": name, "project": project, "task": task, "notes": notes}
        placed = {"resources": {"queue": queue, "gpus": gpus}, "priority": priority, "tags": tags}
        spec = training.spec_of(train=arguments, customize=customize, **texts, **placed)
        wanted = training.Training(data, model, spec, idempotency_key, progress)
        return AsyncJob(self, await self.run(training.train(self.connection, wanted)))
