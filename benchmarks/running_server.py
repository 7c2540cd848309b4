"""A Trainyard to measure: `trainyard up` in a temporary home, with a client for it."""

import compileall
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import httpx2 as httpx

from app.web.entry.shapes import write_shapes

Value = TypeVar("Value")

ROOT = Path(__file__).parents[1]
ENDED = {"succeeded", "failed", "cancelled"}
START_SECONDS = 120.0
STOP_SECONDS = 60.0
VERIFY_SECONDS = 120.0
JOB_SECONDS = 600.0
COMPILED = ("app", "worker", "benchmarks")


class Failed(Exception):
    """The measured event did not happen."""


@dataclass(frozen=True)
class RunningServer:
    """A running Trainyard: its home, its address, and its supervising process."""

    process: subprocess.Popen[bytes]
    home: Path
    url: str
    key: str
    client: httpx.Client

    def get(self, path: str) -> Any:  # noqa: ANN401 -- JSON of any shape
        """Return the JSON at `path`."""
        return self.client.get(path).raise_for_status().json()

    def submit(self, spec: Mapping[str, Any]) -> str:
        """Submit a job and return its id."""
        answer = self.client.post("/v1/jobs", json=dict(spec))
        if answer.is_error:
            raise Failed(answer.text)
        job: str = answer.json()["id"]
        return job

    def upload(self, archive: Path, *, name: str) -> str:
        """Upload a zip for detection and wait for its verdict; return the dataset's id."""
        answer = self.client.post(
            "/v1/datasets",
            params={"name": name, "task": "detect"},
            content=archive.read_bytes(),
            headers={"Content-Type": "application/zip"},
        )
        dataset: str = answer.raise_for_status().json()["id"]
        path = f"/v1/datasets/{dataset}"
        wait_until(lambda: self.get(path)["state"] != "validating", within=VERIFY_SECONDS)
        if self.get(path)["state"] != "ready":
            raise Failed(f"the dataset is refused: {self.get(path + '/report')}")
        return dataset

    def wait_for_end(self, job: str, *, every: float = 0.5) -> dict[str, Any]:
        """Wait until a job has ended, asking at most every `every` seconds; return its status."""

        def ended() -> dict[str, Any] | None:
            status: dict[str, Any] = self.get(f"/v1/jobs/{job}")
            return status if status["state"] in ENDED else None

        return wait_until(ended, within=JOB_SECONDS, every=every)


@contextmanager
def running_trainyard(
    home: Path, environment: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Run `trainyard up` on a free port while the block runs, then stop it as Ctrl-C would."""
    compile_sources()
    log = home.with_suffix(".log")
    command = [sys.executable, "-m", "app.cli", "up", "--home", str(home), "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env=clean_environment() | dict(environment or {}),
            cwd=ROOT,
        )
    try:
        note = home / "server.json"
        wait_until(lambda: note.exists() or process.poll() is not None, within=START_SECONDS)
        if process.poll() is not None:
            raise Failed(f"trainyard up ended: {log.read_text()}")
        url = json.loads(note.read_text())["url"]
        key = (home / "api-key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            yield RunningServer(process, home, url, key, client)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a temporary folder whose path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        yield Path(folder)


def drawn_shapes(folder: Path, *, train: int, val: int, size: int) -> Path:
    """Write the zip of drawn shapes and return its path."""
    archive = folder / f"shapes-{train}-{val}.zip"
    write_shapes(archive, train=train, val=val, size=size)
    return archive


def clean_environment() -> dict[str, str]:
    """Return this process's environment without Trainyard's settings, and with bytecode enabled."""
    dropped = ("TRAINYARD_", "PYTHONDONTWRITEBYTECODE")
    return {key: value for key, value in os.environ.items() if not key.startswith(dropped)}


def compile_sources() -> None:
    """Write the bytecode of Trainyard's sources, as an installation would."""
    for folder in COMPILED:
        compileall.compile_dir(ROOT / folder, quiet=2)


def wait_until(ask: Callable[[], Value | None], *, within: float, every: float = 0.02) -> Value:
    """Call `ask` until it returns a value, and return that value.

    Raises:
        Failed: `within` seconds have passed.
    """
    deadline, pause = time.monotonic() + within, Event()
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        pause.wait(every)
    raise Failed(f"still waiting after {within:g} s")
