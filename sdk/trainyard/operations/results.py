"""What a job made: metrics, classes, worst images, files and logs."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from trainyard.core.connection import Connection, Patience
from trainyard.core.steps import Emit, Operation, Request, Wait
from trainyard.errors import NotFoundError, ProblemError, UnavailableError, UnreachableError
from trainyard.operations.jobs import read_job
from trainyard.operations.waiting import LONG_PATIENCE, pause
from trainyard.views.base import parsed
from trainyard.views.jobs import JobView
from trainyard.views.results import ArtifactView, ClassMetricsView, MetricsView, WorstImageView

LOG_POLL: Final = 1.0


def read_metrics(
    connection: Connection, job: str, params: Mapping[str, Any]
) -> Operation[MetricsView]:
    """Read the metrics of every finished epoch."""
    document = yield from connection.json("GET", f"/v1/jobs/{job}/metrics", params=params)
    return parsed(MetricsView, document)


def read_classes(
    connection: Connection, job: str, epoch: int | None
) -> Operation[ClassMetricsView]:
    """Read the scores of each class in one epoch."""
    document = yield from connection.json(
        "GET", f"/v1/jobs/{job}/metrics/classes", params={"epoch": epoch}
    )
    return parsed(ClassMetricsView, document)


def read_worst(
    connection: Connection, job: str, params: Mapping[str, Any]
) -> Operation[list[WorstImageView]]:
    """Read the worst validation images."""
    document = yield from connection.json("GET", f"/v1/jobs/{job}/images/worst", params=params)
    return [parsed(WorstImageView, each) for each in document["data"]]


def read_artifacts(connection: Connection, job: str) -> Operation[list[ArtifactView]]:
    """Read which files a job has."""
    document = yield from connection.json("GET", f"/v1/jobs/{job}/artifacts")
    return [parsed(ArtifactView, each) for each in document["data"]]


def artifact_address(job: str, name: str) -> str:
    """Return the route of a file of a job."""
    return f"/v1/jobs/{job}/artifacts/{quote(name, safe='')}"


def best_address(connection: Connection, job: str) -> Operation[str]:
    """Return the route of the best weights: of the ended job, or those so far.

    Raises:
        NotFoundError: there are none yet.
    """
    artifacts = yield from read_artifacts(connection, job)
    if any(each.name == "best.pt" for each in artifacts):
        return artifact_address(job, "best.pt")
    document = yield from connection.json("GET", f"/v1/jobs/{job}/checkpoints")
    for each in document["data"]:
        checkpoint = parsed(ArtifactView, each)
        if checkpoint.name == "best.pt" and checkpoint.links:
            return f"/v1/jobs/{job}/checkpoints/{checkpoint.epoch}/best.pt"
    raise NotFoundError({"detail": f"The job {job} has no best.pt yet."}, HTTPStatus.NOT_FOUND)


def read_log(connection: Connection, job: str, params: Mapping[str, Any]) -> Operation[str]:
    """Read the log of an attempt."""
    document = yield from connection.json("GET", f"/v1/jobs/{job}/logs", params=params)
    return str(document or "")


class LogFollowing:
    """Follows the log of a job over all its attempts, until the job has ended.

    Args:
        connection: to the server.
        job: its id.
    """

    def __init__(self, connection: Connection, job: str) -> None:
        self._connection = connection
        self._job = job
        self._attempt = 0
        self._read = 0
        self._rest = b""

    def lines(self) -> Operation[None]:
        """Emit each line without its end."""
        patience = Patience(LONG_PATIENCE)
        while True:
            try:
                view = yield from read_job(self._connection, self._job)
                yield from self._until(view)
            except (UnreachableError, UnavailableError) as error:
                yield from pause(self._connection, patience, error)
                continue
            patience.renew()
            if view.has_ended:
                yield from self._last_line()
                return
            yield Wait(LOG_POLL)

    def _until(self, view: JobView) -> Operation[None]:
        """Emit what the attempts of a job have written so far."""
        self._attempt = self._attempt or min(1, view.attempt)
        while self._attempt:
            yield from self._new_of_attempt()
            if self._attempt >= view.attempt:
                return
            yield from self._last_line()
            self._attempt, self._read = self._attempt + 1, 0

    def _last_line(self) -> Operation[None]:
        """Emit a line that never got its end."""
        rest, self._rest = self._rest, b""
        if rest:
            yield Emit(rest.decode("utf-8", "replace"))

    def _new_of_attempt(self) -> Operation[None]:
        request = Request(
            "GET",
            f"/v1/jobs/{self._job}/logs",
            params={"attempt": self._attempt},
            headers={"Range": f"bytes={self._read}-"},
        )
        try:
            answer = yield from self._connection.send(request)
        except NotFoundError:
            return
        except ProblemError as error:
            if error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            return
        new = answer.content
        if answer.status == HTTPStatus.OK:
            new = new[self._read :]
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            yield Emit(line.decode("utf-8", "replace").removesuffix("\r"))
