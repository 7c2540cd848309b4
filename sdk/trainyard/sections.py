"""The parts of a client: jobs, datasets and models."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainyard.job import Job
from trainyard.job_facts import OnBytes, target_of
from trainyard.operations import datasets as dataset_operations
from trainyard.operations import downloads
from trainyard.operations import jobs as job_operations
from trainyard.operations import models as model_operations
from trainyard.operations.pages import Listing
from trainyard.operations.pushes import OnProgress, Push, push_dataset
from trainyard.paging import Pager
from trainyard.views.datasets import DatasetRow, DatasetView, FindingView, VersionRow
from trainyard.views.jobs import JobRow, ParsedView, ValidatedJobView
from trainyard.views.models import ModelView
from trainyard.views.results import ManyMetricsView

if TYPE_CHECKING:
    from trainyard.client import Client


class Jobs:
    """The jobs of the server.

    Args:
        client: that reads them.
    """

    def __init__(self, client: "Client") -> None:
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

    def plan(self, spec: Mapping[str, Any]) -> ValidatedJobView:
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


class Datasets:
    """The datasets of the server.

    Args:
        client: that reads them.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client

    def push(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        project: str | None = None,
        task: str | None = None,
        progress: OnProgress | None = None,
        wait: bool = True,
        **options: Any,  # noqa: ANN401
    ) -> DatasetView:
        """Send a dataset: of its files only those that the project lacks.

        Args:
            path: a data.yaml, a folder or an archive. Of a data.yaml, what it names is sent.
            name: of the dataset; None: that of the folder or archive.
            project: None: the default project.
            task: None: the server finds it out.
            progress: told how far it is.
            wait: whether to wait until the dataset is verified.
            options: other options of an upload, such as `names`, `splits` or `class_map`.

        Returns:
            The version.

        Raises:
            LayoutError: it is no dataset; nothing was sent.
            DatasetInvalidError: the verification found errors.
        """
        push = Push(
            Path(path),
            name,
            project=project,
            task=task,
            options=options,
            on_progress=progress,
            waits=wait,
        )
        return self._client.run(push_dataset(self._client.connection, push))

    def list(self, **filters: Any) -> Pager[DatasetRow]:  # noqa: ANN401
        """Return the datasets with their newest version, newest first.

        Args:
            filters: the query parameters of `GET /v1/datasets`: `name`, `state`, `task`, …
        """
        return self._listing("/v1/datasets", DatasetRow, filters)

    def get(self, reference: str) -> DatasetView:
        """Return a dataset by its id or name, or a version by its id or as `bccd@3`."""
        operation = dataset_operations.read_dataset(self._client.connection, reference)
        return self._client.run(operation)

    def versions(self, reference: str) -> Pager[VersionRow]:
        """Return the versions of a dataset, newest first."""
        return self._listing_below(reference, "versions", VersionRow, {})

    def findings(self, reference: str, **filters: Any) -> Pager[FindingView]:  # noqa: ANN401
        """Return what the verification found, errors first.

        Args:
            reference: of the dataset or the version.
            filters: `severity`, `code` or `version`.
        """
        return self._listing_below(reference, "findings", FindingView, filters)

    def fix(self, finding: FindingView, **options: Any) -> DatasetView:  # noqa: ANN401
        """Make the next version with the request that fixes a finding, and wait for it.

        Args:
            finding: one that has a `request`.
            options: take the place of those in the request.

        Raises:
            DatasetInvalidError: the verification found errors again.
        """
        operation = dataset_operations.fix(self._client.connection, finding, options)
        return self._client.run(operation)

    def pull(
        self,
        reference: str,
        path: str | Path | None = None,
        *,
        version: str | None = None,
        format: str = "yolo",  # noqa: A002 - the server's word
        on_bytes: OnBytes | None = None,
    ) -> Path:
        """Download a version as a zip.

        Args:
            reference: of the dataset or the version.
            path: of the zip, or of a folder that exists; None: `<name>.zip` in this folder.
            version: id of the version; None: the newest.
            format: `yolo` or `coco`.
            on_bytes: told how many bytes have arrived.
        """
        view = self.get(reference)
        wanted = downloads.Download(
            f"/v1/datasets/{view.id}/export",
            target_of(f"{view.name}.zip", path),
            {"version": version or view.version, "format": format},
            on_bytes,
        )
        return self._client.run(downloads.download_stream(self._client.connection, wanted))

    def _listing(self, path: str, kind: Any, filters: Mapping[str, Any]) -> Pager[Any]:  # noqa: ANN401
        return Pager(self._client.driver, Listing(self._client.connection, path, kind, filters))

    def _listing_below(
        self,
        reference: str,
        part: str,
        kind: Any,  # noqa: ANN401
        filters: Mapping[str, Any],
    ) -> Pager[Any]:
        connection = self._client.connection
        path = partial(dataset_operations.path_below, connection, reference, part)
        return Pager(self._client.driver, Listing(connection, path, kind, filters))


class Models:
    """The models of the server.

    Args:
        client: that reads them.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client

    def list(self, **filters: Any) -> Pager[ModelView]:  # noqa: ANN401
        """Return architectures and weights, by name.

        Args:
            filters: `kind`, `task` or `sha256`.
        """
        listing = Listing(self._client.connection, "/v1/models", ModelView, filters)
        return Pager(self._client.driver, listing)

    def get(self, reference: str) -> ModelView:
        """Return a model by its name or id."""
        return self._client.run(model_operations.read_model(self._client.connection, reference))

    def push(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        project: str | None = None,
        task: str | None = None,
        on_bytes: OnBytes | None = None,
    ) -> ModelView:
        """Send weights unless the server has them, and wait until a worker has inspected them.

        Args:
            path: of the `.pt` file.
            name: for jobs; None: that of the file.
            project: None: the default project.
            task: that they must have; None: any.
            on_bytes: told how many bytes of how many were sent.

        Raises:
            ModelRefusedError: the inspection refused them.
        """
        push = model_operations.ModelPush(Path(path), name, project, task, on_bytes)
        return self._client.run(model_operations.push_model(self._client.connection, push))
