"""The world `server`: a running server, as a process or in this process, and its client."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import httpx2 as httpx
import psutil
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.core.context import Context
from app.core.database import Database
from app.main import create_app
from app.settings import Settings
from app.settings.accounts import AccountSettings
from app.stream.room import Streams
from tests.waiting import eventually
from tests.worlds.rows import Rows, a_ready_dataset

MANY = 100_000
NO_BROKER = "redis://127.0.0.1:1/0"
COMMAND = Path(sys.executable).with_name("trainyard")
READY_SECONDS = 90.0
STOP_SECONDS = 60.0
DATASET_SECONDS = 60.0
ENDED = {"succeeded", "failed", "cancelled"}

TINY: dict[str, Any] = {
    "epochs": 2,
    "imgsz": 64,
    "batch": 4,
    "nbs": 4,
    "warmup_epochs": 0,
    "optimizer": "SGD",
    "lr0": 0.01,
    "plots": False,
}
"""18 images in batches of 4 make 5 optimizer steps an epoch, from the first batch on."""
TRAIN_IMAGES, VAL_IMAGES = 18, 8
MODELS = {
    "detect": "yolo26n.yaml",
    "segment": "yolo26n-seg.yaml",
    "pose": "yolo26n-pose.yaml",
    "obb": "yolo26n-obb.yaml",
    "classify": "yolo26n-cls.yaml",
    "semantic": "yolo26n-sem.yaml",
    "depth": "yolo26n-depth.yaml",
}


@dataclass(frozen=True)
class Server:
    """A running `trainyard up` or `trainyard server`: its process, its home, and its client."""

    process: subprocess.Popen[bytes]
    home: Path

    @property
    def note(self) -> Path:
        """The file to which the server writes its URL and process id."""
        return self.home / "server.json"

    @property
    def url(self) -> str:
        url: str = json.loads(self.note.read_text())["url"]
        return url

    @property
    def key(self) -> str:
        """Return the first API key."""
        return (self.home / "api-key").read_text().strip()

    @property
    def log_file(self) -> Path:
        return self.home.with_suffix(".log")

    @property
    def text(self) -> str:
        """Return the output of the process."""
        return self.log_file.read_text()

    @cached_property
    def client(self) -> httpx.Client:
        """Return a client with the first API key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def wait_until_ready(self) -> "Server":
        eventually(
            lambda: self.note.exists() or self.process.poll() is not None,
            within=READY_SECONDS,
            message=lambda: self.text,
        )
        assert self.process.poll() is None, self.text
        return self

    def stop(self, signum: signal.Signals) -> None:
        """Close the client and end the process; if it does not end, kill all that it started."""
        if "client" in vars(self):
            self.client.close()
        self.process.send_signal(signum)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise

    def upload(self, archive: Path, *, name: str, task: str | None = None) -> str:
        """Upload a zip and wait until it is ready; return the dataset's id."""
        query = {"name": name} | ({"task": task} if task else {})
        answer = self.client.post(
            "/v1/datasets",
            params=query,
            content=archive.read_bytes(),
            headers={"Content-Type": "application/zip"},
        )
        assert answer.status_code in {200, 202}, answer.text
        dataset_id: str = answer.json()["id"]

        def state() -> str:
            return str(self.get(f"/v1/datasets/{dataset_id}")["state"])

        eventually(lambda: state() != "validating", within=DATASET_SECONDS)
        assert state() == "ready", self.get(f"/v1/datasets/{dataset_id}/report")
        return dataset_id

    def submit(self, dataset: str, **changes: Any) -> str:  # noqa: ANN401 -- a spec's JSON
        """Submit a tiny job, its spec changed as given; return its id."""
        train = TINY | changes.pop("train", {})
        spec = {"dataset": dataset, "model": MODELS["detect"], "train": train, **changes}
        answer = self.client.post("/v1/jobs", json=spec)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def get(self, path: str, **query: Any) -> dict[str, Any]:  # noqa: ANN401
        """Read a JSON document."""
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def job(self, job_id: str) -> dict[str, Any]:
        return self.get(f"/v1/jobs/{job_id}")

    def finish(self, job_id: str, *, within: float) -> dict[str, Any]:
        """Wait until a job has ended, and return its status."""
        eventually(
            lambda: self.job(job_id)["state"] in ENDED,
            within=within,
            message=lambda: f"{self.job(job_id)}\n{self.log(job_id)}",
        )
        return self.job(job_id)

    def succeed(self, job_id: str, *, within: float) -> dict[str, Any]:
        status = self.finish(job_id, within=within)
        assert status["state"] == "succeeded", f"{status['error']}\n{self.log(job_id)}"
        return status

    def log(self, job_id: str) -> str:
        return self.client.get(f"/v1/jobs/{job_id}/logs", params={"tail": 60}).text

    def download(self, job_id: str, name: str, folder: Path) -> Path:
        answer = self.client.get(f"/v1/jobs/{job_id}/artifacts/{name}")
        assert answer.status_code == 200, answer.text
        path = folder / name
        path.write_bytes(answer.content)
        return path

    def processes(self, word: str) -> list[psutil.Process]:
        """Return the processes below `trainyard up` whose command line contains `word`."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in below if word in " ".join(_command_line(each))]


def start(home: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Server:
    """Start `trainyard` with these arguments; do not wait until it is ready."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TRAINYARD_")}
    with home.with_suffix(".log").open("ab") as output:
        process = subprocess.Popen(
            [COMMAND, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**clean, "TRAINYARD_HOME": str(home), **(environment or {})},
            start_new_session=True,
        )
    return Server(process, home)


@contextmanager
def trainyard_up(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run `trainyard up` on a free port, and stop it as Ctrl-C does."""
    server = start(home, "up", "--home", str(home), "--port", "0", environment=environment)
    try:
        yield server.wait_until_ready()
    finally:
        server.stop(signal.SIGINT)


@contextmanager
def a_server(home: Path, database_url: str) -> Iterator[Server]:
    """Run `trainyard server` without a broker on a free port."""
    environment = {"TRAINYARD_DATABASE_URL": database_url, "TRAINYARD_BROKER_URL": NO_BROKER}
    server = start(home, "server", "--port", "0", environment=environment)
    try:
        yield server.wait_until_ready()
    finally:
        server.stop(signal.SIGTERM)


def status_of(url: str, key: str | None = None) -> int | None:
    """Return the status of the answer, or None without an answer."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urlopen(Request(url, headers=headers), timeout=30) as answer:
            status: int = answer.status
            return status
    except HTTPError as error:
        return error.code
    except (URLError, ConnectionError):
        return None


@dataclass(frozen=True)
class Api:
    """The running application, a client with the first API key, and rows to refer to."""

    app: FastAPI
    client: TestClient
    rows: Rows
    key: str

    @property
    def context(self) -> Context:
        context: Context = self.app.state.context
        return context

    @property
    def database(self) -> Database:
        return self.context.database

    @contextmanager
    def streams_ended(self) -> Iterator[None]:
        """End event streams that have sent what was missed: this client waits for whole answers."""
        done = Event()

        def end() -> None:
            while not done.wait(0.01):
                watchers = list(self.streams.hub._watchers)
                if any(each._is_live for each in watchers) and self.client.portal is not None:
                    self.client.portal.call(self.streams.end)

        thread = Thread(target=end)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    @property
    def streams(self) -> Streams:
        streams: Streams = self.app.state.streams
        return streams

    def spec(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the JSON of a valid job."""
        return {
            "dataset": self.rows.dataset_id,
            "model": "yolo26n.yaml",
            "train": {"epochs": 2, "imgsz": 64},
            **changes,
        }

    def submit(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        """Submit a valid job and return its status."""
        answer = self.client.post("/v1/jobs", json=self.spec(**changes))
        assert answer.status_code == 201, answer.text
        status: dict[str, Any] = answer.json()
        return status


def on(url: str, home: Path) -> Settings:
    """Return the settings of a server on that database, without a broker.

    Tests of every route send more wrong keys from one address than anyone may.
    """
    accounts = AccountSettings(wrong_keys_per_minute=MANY)
    return Settings(home=home, database_url=url, broker_url=SecretStr(NO_BROKER), accounts=accounts)


def serving(settings: Settings) -> Iterator[Api]:
    """Run the application with these settings in this process."""
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        key = (settings.home / "api-key").read_text().strip()
        client.headers["Authorization"] = f"Bearer {key}"
        yield Api(app, client, a_ready_dataset(app.state.context.database), key)


def serving_alone(template: Path, folder: Path) -> Iterator[Api]:
    """Run the application in this process on a copy of an empty SQLite database.

    Args:
        template: the migrated database.
        folder: for the copy and the home.
    """
    path = folder / "trainyard.db"
    path.write_bytes(template.read_bytes())
    yield from serving(on(f"sqlite:///{path}", folder / "home"))


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
