"""A whole Trainyard as its user starts it, and a client that knows nothing but HTTP."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil

from tests.waiting import eventually

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
class Yard:
    """A running `trainyard up`: its process, its home, and a client that holds the first key."""

    process: subprocess.Popen[bytes]
    home: Path
    client: httpx.Client

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
        """The processes below `trainyard up` whose command line holds `word`."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in below if word in " ".join(_command_line(each))]


@contextmanager
def a_yard(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[Yard]:
    """Run `trainyard up` on a free port, and stop it as Ctrl-C does."""
    log = home.with_suffix(".log")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TRAINYARD_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [COMMAND, "up", "--home", home, "--port", "0"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**clean, **(environment or {})},
            start_new_session=True,
        )
    try:
        note = home / "server.json"
        eventually(
            lambda: note.exists() or process.poll() is not None,
            within=READY_SECONDS,
            message=log.read_text,
        )
        assert process.poll() is None, log.read_text()
        url = json.loads(note.read_text())["url"]
        key = (home / "api-key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            yield Yard(process, home, client)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
