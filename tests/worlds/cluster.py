"""The world `cluster`: separate processes, of which any can be killed, and their client.

Every server and worker has its own home and working directory, as on a separate machine. They
share only the database, the broker and the store.
"""

import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
from redis import Redis, RedisError
from sqlalchemy.exc import OperationalError

from app.core.broker import _command
from app.core.database import Database
from app.settings.timing import Timing
from tests.waiting import eventually
from tests.worlds.program import Program
from tests.worlds.server import COMMAND, MODELS, TINY
from worker.trainer import null_trainer

START_SECONDS = 90.0
ANSWER_SECONDS = 90.0
DATASET_SECONDS = 90.0

NULL_TIMING = Timing(
    lease_seconds=3,
    heartbeat_seconds=0.3,
    self_fence_seconds=2.5,
    request_poll_seconds=0.1,
    reconcile_seconds=0.3,
    doorbell_retry_seconds=1,
    restart_backoff_seconds=0.05,
)
"""For tests with null trainers."""
REAL_TIMING = NULL_TIMING.model_copy(
    update={"lease_seconds": 30.0, "heartbeat_seconds": 2.0, "self_fence_seconds": 25.0}
)
"""For tests with real trainings, which can keep a small machine busy for seconds."""

STATE_EVERY = 2
"""Epochs between training states; after most kills an epoch is trained again."""

SECRET_KEY = "of all servers of a cluster that is under test"


class NoServer(Exception):
    """No server has written its address yet."""


@dataclass
class Node:
    """A server or a worker: its home and its process."""

    home: Path
    program: Program


@dataclass(kw_only=True)
class ClusterClient:
    """Sends requests to any live server; `acknowledged` are the jobs that a server accepted."""

    servers: list[Node] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    _key: str | None = None

    def await_null_trainer(self) -> None:
        """Wait until a worker has registered the null trainer; jobs may request it from then on."""
        eventually(lambda: null_trainer.NAME in str(self.get("/v1/trainers")), within=START_SECONDS)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Yield a client of the first server that has written its address."""
        notes = [node.home / "server.json" for node in self.servers if node.program.is_alive]
        there = [note for note in notes if note.exists()]
        if not there:
            raise NoServer
        url = json.loads(there[0].read_text())["url"]
        with httpx.Client(base_url=url, headers=self._headers(), timeout=30) as client:
            yield client

    def _headers(self) -> dict[str, str]:
        if self._key is None:
            keys = [node.home / "api-key" for node in self.servers]
            self._key = next(key for key in keys if key.exists()).read_text().strip()
        return {"Authorization": f"Bearer {self._key}"}

    def insist(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401
        """Repeat a request until a server answers without 5xx, as a patient client does."""
        answers: list[httpx.Response] = []

        def answered() -> bool:
            try:
                with self.client() as client:
                    answers.append(client.request(method, path, **request))
            except (httpx.HTTPError, OSError, NoServer, json.JSONDecodeError):
                return False
            return answers[-1].status_code < 500

        eventually(answered, within=ANSWER_SECONDS, message=lambda: f"{path}: {answers[-1:]}")
        return answers[-1]

    def get(self, path: str) -> dict[str, Any]:
        answer = self.insist("GET", path)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def upload(self, archive: Path, name: str = "shapes") -> str:
        """Upload a dataset and wait until it is ready; return its id."""
        headers = {"Content-Type": "application/zip"}
        answer = self.insist(
            "POST",
            f"/v1/datasets?name={name}",
            content=archive.read_bytes(),
            headers=headers,
        )
        assert answer.status_code in {200, 202}, answer.text
        dataset_id: str = answer.json()["id"]
        path = f"/v1/datasets/{dataset_id}"
        eventually(lambda: self.get(path)["state"] == "ready", within=DATASET_SECONDS)
        return dataset_id

    def submit(self, dataset: str, *, key: str | None = None, **changes: Any) -> str:  # noqa: ANN401
        """Submit a job until it is acknowledged; return its id."""
        spec = {"dataset": dataset, "model": MODELS["detect"], **changes}
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        answer = self.insist("POST", "/v1/jobs", json=spec, headers=headers)
        assert answer.status_code in {200, 201}, answer.text
        job_id: str = answer.json()["id"]
        if job_id not in self.acknowledged:
            self.acknowledged.append(job_id)
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        return self.get(f"/v1/jobs/{job_id}")

    def finish(self, job_id: str, *, within: float) -> dict[str, Any]:
        """Wait until a job has succeeded, and return its status."""
        eventually(
            lambda: self.job(job_id)["state"] in {"succeeded", "failed", "cancelled"},
            within=within,
            message=lambda: f"{self.job(job_id)}\n{self.tails()}",
        )
        status = self.job(job_id)
        assert status["state"] == "succeeded", f"{status}\n{self.tails()}"
        return status

    def tails(self) -> str:
        """Return the end of every server's log."""
        return "\n".join(f"--- {each.program.name}\n{each.program.tail()}" for each in self.servers)


@dataclass
class Cluster(ClusterClient):
    """One database, one broker and one store, with the servers and workers that use them."""

    folder: Path
    database_url: str
    timing: Timing = NULL_TIMING
    workers: list[Node] = field(default_factory=list)
    broker: Program = field(init=False)
    _sockets: Path = field(init=False)

    def __post_init__(self) -> None:
        self._sockets = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
        self.store_folder.mkdir(exist_ok=True)
        self.broker = Program(
            "broker",
            _command(self.broker_socket),
            dict(os.environ),
            self.folder,
            self.folder / "broker.log",
            ready=self._broker_answers,
            before_start=lambda: self.broker_socket.unlink(missing_ok=True),
        )

    @property
    def store_folder(self) -> Path:
        return self.folder / "store"

    @property
    def broker_socket(self) -> Path:
        """The socket that the broker listens on."""
        return self._sockets / "broker.sock"

    @property
    def redis(self) -> Redis:
        return Redis(unix_socket_path=str(self.broker_socket), socket_timeout=5)

    @property
    def programs(self) -> list[Program]:
        return [self.broker, *(each.program for each in [*self.servers, *self.workers])]

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment of this cluster's processes."""
        clean = {key: value for key, value in os.environ.items() if key[:9] != "TRAINYARD"}
        timing = {
            f"TRAINYARD_TIMING__{name.upper()}": str(value)
            for name, value in self.timing.model_dump().items()
        }
        return {
            **clean,
            **timing,
            "TRAINYARD_TESTING": "1",
            "TRAINYARD_STATE_EVERY": str(STATE_EVERY),
            "TRAINYARD_HOME": str(home),
            "TRAINYARD_DATABASE_URL": self.database_url,
            "TRAINYARD_BROKER_URL": f"redis+socket://{self.broker_socket}?virtual_host=0",
            "TRAINYARD_STORE_URL": self.store_folder.as_uri(),
            "TRAINYARD_SECRET_KEY": SECRET_KEY,
        }

    def add_server(self) -> Node:
        """Add a server with its own home, without starting it."""
        home = self._home("server", len(self.servers))
        note = home / "server.json"
        program = Program(
            home.name,
            [str(COMMAND), "server", "--port", "0"],
            self.environment(home),
            home,
            home.with_suffix(".log"),
            ready=note.exists,
            before_start=lambda: note.unlink(missing_ok=True),
        )
        self.servers.append(Node(home, program))
        return self.servers[-1]

    def add_worker(self, *, slot_alone: bool = True, queues: str = "default") -> Node:
        """Add a worker with its own home, without starting it.

        Args:
            slot_alone: run the process of its slot directly, not below `python -m worker`.
            queues: the job queues to serve.
        """
        home = self._home("worker", len(self.workers))
        serve = [sys.executable, "-m", "worker.serve", "cpu", queues]
        below = [sys.executable, "-m", "worker", "--slots", "cpu", "--queues", queues]
        program = Program(
            home.name,
            serve if slot_alone else below,
            self.environment(home),
            home,
            home.with_suffix(".log"),
        )
        self.workers.append(Node(home, program))
        return self.workers[-1]

    def _home(self, kind: str, number: int) -> Path:
        home = self.folder / f"{kind}-{number}"
        home.mkdir(exist_ok=True)
        return home

    def tails(self) -> str:
        """Return the end of every process's log."""
        return "\n".join(f"--- {each.name}\n{each.tail()}" for each in self.programs)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the cluster's database in the test's process."""
        database = Database(self.database_url, pool_size=3)
        yield database
        database.dispose()

    def database_is_free(self) -> bool:
        """Return whether no connection holds a database lock for longer than a moment."""
        with self.database() as database, database.engine.connect() as connection:
            is_sqlite = database.is_sqlite
            patience = "PRAGMA busy_timeout = 500" if is_sqlite else "SET lock_timeout = 500"
            connection.exec_driver_sql(patience)
            try:
                connection.exec_driver_sql("UPDATE jobs SET revision = revision")
            except OperationalError:
                return False
            finally:
                connection.rollback()
        return True

    def _broker_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except (RedisError, OSError):
            return False

    def end(self) -> None:
        """End every process."""
        for program in self.programs:
            program.end()
        with suppress(OSError):
            self.broker_socket.unlink(missing_ok=True)
            self._sockets.rmdir()


@contextmanager
def a_cluster(folder: Path, database_url: str, timing: Timing = NULL_TIMING) -> Iterator[Cluster]:
    """Run a broker and one server; the test adds the workers."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder, database_url, timing)
    try:
        cluster.broker.started()
        cluster.add_server().program.started()
        yield cluster
    finally:
        cluster.end()


def null_job(
    *, epochs: int = 3, seconds_per_epoch: float = 0.05, **options: object
) -> dict[str, Any]:
    """Return the part of a spec that requests the null trainer."""
    options = {"seconds_per_epoch": seconds_per_epoch, **options}
    return {
        "train": {"epochs": epochs},
        "trainer": {"name": null_trainer.NAME, "options": options},
        "max_restarts": 100,
    }


def real_job(*, epochs: int) -> dict[str, Any]:
    """Return the part of a spec that requests a tiny real training."""
    return {"train": TINY | {"epochs": epochs}, "max_restarts": 100}
