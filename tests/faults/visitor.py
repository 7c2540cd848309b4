"""A patient client that uses HTTP only and remembers every answer."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.waiting import eventually
from tests.worlds.program import Program
from tests.worlds.server import MODELS, TINY
from worker.trainer import null_trainer

START_SECONDS = 90.0
ANSWER_SECONDS = 90.0
DATASET_SECONDS = 90.0


class NoServer(Exception):
    """No server has said yet where it listens."""


@dataclass
class Host:
    """Where a server or a worker lives: its home, and its process."""

    home: Path
    program: Program


@dataclass(kw_only=True)
class Visitor:
    """Asks whichever of the servers is there; `acknowledged` are the jobs that it was promised."""

    servers: list[Host] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    _key: str | None = None

    def await_null_trainer(self) -> None:
        """Wait until a worker has said that it has the null trainer: jobs may ask for it then."""
        eventually(lambda: null_trainer.NAME in str(self.get("/v1/trainers")), within=START_SECONDS)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A client of the first server that has said where it listens."""
        notes = [host.home / "server.json" for host in self.servers if host.program.is_alive]
        there = [note for note in notes if note.exists()]
        if not there:
            raise NoServer
        url = json.loads(there[0].read_text())["url"]
        with httpx.Client(base_url=url, headers=self._headers(), timeout=30) as client:
            yield client

    def _headers(self) -> dict[str, str]:
        if self._key is None:
            keys = [host.home / "api-key" for host in self.servers]
            self._key = next(key for key in keys if key.exists()).read_text().strip()
        return {"Authorization": f"Bearer {self._key}"}

    def insist(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401
        """Ask until a server answers with anything but 5xx, as a patient client does."""
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
        """Wait until a job has ended well, and return its status."""
        eventually(
            lambda: self.job(job_id)["state"] in {"succeeded", "failed", "cancelled"},
            within=within,
            message=lambda: f"{self.job(job_id)}\n{self.tails()}",
        )
        status = self.job(job_id)
        assert status["state"] == "succeeded", f"{status}\n{self.tails()}"
        return status

    def tails(self) -> str:
        """What every server said last."""
        return "\n".join(f"--- {each.program.name}\n{each.program.tail()}" for each in self.servers)


def null_job(
    *, epochs: int = 3, seconds_per_epoch: float = 0.05, **options: object
) -> dict[str, Any]:
    """Return the part of a spec that asks for the null trainer."""
    options = {"seconds_per_epoch": seconds_per_epoch, **options}
    return {
        "train": {"epochs": epochs},
        "trainer": {"name": null_trainer.NAME, "options": options},
        "max_restarts": 100,
    }


def real_job(*, epochs: int) -> dict[str, Any]:
    """Return the part of a spec that asks for a tiny real training."""
    return {"train": TINY | {"epochs": epochs}, "max_restarts": 100}
