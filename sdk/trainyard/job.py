"""A job, as programs hold it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from trainyard.job_facts import BestFacts, JobFacts, OnBytes, target_of
from trainyard.notebook import LiveView
from trainyard.operations import downloads, results, waiting
from trainyard.operations import jobs as operations
from trainyard.operations.following import Following
from trainyard.views.jobs import JobView
from trainyard.views.results import ArtifactView, ClassMetricsView, MetricsView, WorstImageView
from trainyard.views.stream import EpochView, JobEvent, StreamItem

if TYPE_CHECKING:
    from trainyard.client import Client


class JobBase(JobFacts):
    """A job and the client that it came from.

    Args:
        client: that reads and steers it.
        view: what the server said.
    """

    def __init__(self, client: "Client", view: JobView) -> None:
        super().__init__(view, client.server.url)
        self._client = client
        self._connection = client.connection

    def refresh(self) -> Self:
        """Read the job again."""
        self.view = self._client.run(operations.read_job(self._connection, self.id))
        return self

    def _steer(self, action: str) -> Self:
        self.view = self._client.run(operations.steer_job(self._connection, self.id, action))
        return self


class JobControls(JobBase):
    """What a person can do to a job. `docs/api.md` of the server says when each is possible."""

    def stop(self) -> Self:
        """End it after the current epoch, and keep its result."""
        return self._steer("stop")

    def pause(self) -> Self:
        """Free its slot; `resume` continues it."""
        return self._steer("pause")

    def resume(self) -> Self:
        """Queue a paused job again."""
        return self._steer("resume")

    def cancel(self) -> Self:
        """Cancel it."""
        return self._steer("cancel")

    def retry(self) -> Self:
        """Start a failed or cancelled job again, from its last checkpoint if it has one."""
        return self._steer("retry")

    def change(self, **fields: Any) -> Self:  # noqa: ANN401
        """Change `name`, `notes`, `priority` or `tags`; others keep their values."""
        self.view = self._client.run(operations.change_job(self._connection, self.id, fields))
        return self

    def delete(self) -> Self:
        """Move it to the trash."""
        self.view = self._client.run(operations.delete_job(self._connection, self.id))
        return self

    def restore(self) -> Self:
        """Take it out of the trash."""
        return self._steer("restore")

    def extend(self, epochs: int, name: str | None = None) -> "Job":
        """Train it for more epochs, as a new job.

        Args:
            epochs: the new total.
            name: of the new job.
        """
        body = {"epochs": epochs, **({} if name is None else {"name": name})}
        operation = operations.extend_job(self._connection, self.id, body)
        return Job(self._client, self._client.run(operation))

    def clone(self, **changes: Any) -> "Job":  # noqa: ANN401
        """Submit a new job with the same spec.

        Args:
            changes: a merge patch: a value replaces a field, None removes it.
        """
        operation = operations.clone_job(self._connection, self.id, changes)
        return Job(self._client, self._client.run(operation))


class JobResults(JobBase):
    """What a job made."""

    def metrics(self, **params: Any) -> MetricsView:  # noqa: ANN401
        """Return the metrics of every finished epoch, as columns.

        Args:
            params: `since`, `until`, `keys` or `lineage`.
        """
        return self._client.run(results.read_metrics(self._connection, self.id, params))

    def classes(self, epoch: int | None = None) -> ClassMetricsView:
        """Return the scores of each class in an epoch; None: the newest that has them."""
        return self._client.run(results.read_classes(self._connection, self.id, epoch))

    def worst(self, **params: Any) -> list[WorstImageView]:  # noqa: ANN401
        """Return the validation images that `best.pt` gets most wrong, the worst first.

        Args:
            params: `kind`, `class` or `limit`.
        """
        return self._client.run(results.read_worst(self._connection, self.id, params))

    @property
    def best(self) -> "BestWeights":
        """The best weights so far."""
        return BestWeights(self)

    def artifacts(self) -> list[ArtifactView]:
        """Return which files the job has."""
        return self._client.run(results.read_artifacts(self._connection, self.id))

    def download(
        self, name: str, path: str | Path | None = None, on_bytes: OnBytes | None = None
    ) -> Path:
        """Download a file of the job.

        Args:
            name: of the file, such as `best.pt`.
            path: of the file to write, or of a folder that exists; None: the working directory.
            on_bytes: told how many bytes of how many have arrived.

        Returns:
            The file. It appears when all its bytes are there and have the right digest.
        """
        wanted = self._download(name, path, on_bytes)
        return self._client.run(downloads.download(self._connection, wanted))

    @overload
    def logs(self, *, follow: Literal[False] = False, **params: Any) -> str: ...  # noqa: ANN401

    @overload
    def logs(self, *, follow: Literal[True]) -> Iterator[str]: ...

    def logs(self, *, follow: bool = False, **params: Any) -> str | Iterator[str]:
        """Return the training log.

        Args:
            follow: yield each line of all attempts until the job has ended.
            params: `attempt`, `tail` or `lines`, without `follow`.
        """
        if follow:
            following = results.LogFollowing(self._connection, self.id)
            return self._client.driver.iterate(following.lines())
        return self._client.run(results.read_log(self._connection, self.id, params))


class Job(JobControls, JobResults):
    """A job. Its facts are those of the last answer; `refresh` asks again."""

    def wait(
        self,
        timeout: float | None = None,
        until: str = "ended",
        *,
        raise_on_failure: bool = True,
    ) -> Self:
        """Wait until the job has ended. Outages of the server up to ten minutes do not matter.

        Args:
            timeout: the seconds to wait; None: as long as it takes.
            until: `ended`, or `started`: no longer queued.
            raise_on_failure: whether a job that failed or was cancelled raises.

        Raises:
            WaitTimeout: it did not happen in time.
            JobFailed: the job failed or was cancelled.
        """
        operation = waiting.wait_for_job(self._connection, self.id, until=until, timeout=timeout)
        self.view = self._client.run(operation)
        if raise_on_failure:
            self._client.run(waiting.check_result(self._connection, self.view))
        return self

    def follow(self, after: int = 0) -> Iterator[StreamItem]:
        """Yield what happens until the job has ended.

        Each event comes once, in order, whatever happens to the connection or the server.

        Args:
            after: `seq` of the last event that you have; 0 begins with the first one.
        """
        following = Following(self._connection, self.id, after)
        return self._client.driver.iterate(following.items())

    def epochs(self) -> Iterator[EpochView]:
        """Yield each finished epoch, those of the past first, until the job has ended."""
        for item in self.follow():
            if isinstance(item, JobEvent) and item.type == "epoch.finished":
                yield EpochView.model_validate(item.data)

    def events(self, **params: Any) -> list[JobEvent]:  # noqa: ANN401
        """Return the first page of the events.

        Args:
            params: `order`, `type`, `level` or `limit`.
        """
        return self._client.run(operations.read_events(self._connection, self.id, params))

    def watch(self) -> Self:
        """Show the job until it has ended: live in a notebook, as lines elsewhere."""
        live = LiveView(self.view, self.url)
        for item in self.follow():
            if live.show(item):
                live.renew(self.refresh().view)
        live.renew(self.refresh().view)
        return self


class BestWeights(BestFacts):
    """The best weights of a job.

    Args:
        job: whose weights they are.
    """

    def __init__(self, job: JobResults) -> None:
        super().__init__(job.view.best)
        self._job = job

    def download(self, path: str | Path | None = None, on_bytes: OnBytes | None = None) -> Path:
        """Download `best.pt`: of the ended job, or the best so far.

        Args:
            path: of the file to write, or of a folder that exists; None: `best.pt`.
            on_bytes: told how many bytes of how many have arrived.
        """
        client, target = self._job._client, target_of("best.pt", path)  # noqa: SLF001 - one room
        address = client.run(results.best_address(client.connection, self._job.id))
        wanted = downloads.Download(address, target, on_bytes=on_bytes)
        return client.run(downloads.download(client.connection, wanted))
