"""A job that is killed, paused and drained at random moments ends as a job that is left alone.

What the service reports about each interruption must be what happens: which epochs are trained
again, and that a pause and a drain give back no finished epoch.
"""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.datasets.builders import a_detect_zip
from tests.e2e.conftest import Plain
from tests.e2e.killing import a_chance, assert_equal_jobs
from tests.waiting import eventually
from tests.worlds.server import TRAIN_IMAGES, VAL_IMAGES, Server, trainyard_up
from worker.processes.process import living_processes

EPOCHS, INTERRUPTIONS = 24, 10
KINDS = ("kill the trainer", "kill the worker", "pause", "drain")
KILLED = {"trainer_killed", "worker_lost"}
JOB_SECONDS = 400.0
STEP_SECONDS = 90.0
UNINTERRUPTED_SECONDS = 2.0
"""An interruption comes at most this long after its attempt has begun to train."""

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

SPEC: dict[str, Any] = {
    "train": {"epochs": EPOCHS, "mixup": 0.3},
    "customize": {
        "metrics": {"f1": True, "per_class": True},
        "freeze": {"layers": "backbone", "epochs": EPOCHS // 2},
    },
    "max_restarts": INTERRUPTIONS,
}


@pytest.fixture(params=["always", "never"], ids=["warm", "cold"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    environment = {
        "TRAINYARD_WORKER__WARM": request.param,
        "TRAINYARD_TIMING__RESTART_BACKOFF_SECONDS": "0.1",
    }
    with trainyard_up(tmp_path / "home", environment) as server:
        yield server


def await_training(server: Server, job_id: str, *, attempt: int) -> None:
    def trains() -> bool:
        job = server.job(job_id)
        return job["attempt"] == attempt and job["phase"] in {"training", "validating"}

    eventually(trains, within=STEP_SECONDS, message=lambda: server.log(job_id))


def interrupt(server: Server, job_id: str, kind: str) -> None:
    """Interrupt the job, and see to it that it continues."""
    (worker,) = server.processes("-m worker --slots")
    if kind == "pause":
        server.client.post(f"/v1/jobs/{job_id}/pause").raise_for_status()
        eventually(lambda: server.job(job_id)["state"] == "paused", within=STEP_SECONDS)
        server.client.post(f"/v1/jobs/{job_id}/resume").raise_for_status()
    elif kind == "drain":
        worker.send_signal(signal.SIGTERM)
    elif kind == "kill the worker":
        worker.kill()
    else:
        attempt = server.job(job_id)["attempt"]
        for pid in living_processes(f"{job_id}-{attempt}"):
            os.kill(pid, signal.SIGKILL)


def interrupt_repeatedly(server: Server, job_id: str, chance: random.Random) -> list[str]:
    """Interrupt each attempt once, at a random moment; return how."""
    kinds = [chance.choice(KINDS) for _ in range(INTERRUPTIONS - len(KINDS))] + list(KINDS)
    chance.shuffle(kinds)
    for attempt, kind in enumerate(kinds, 1):
        await_training(server, job_id, attempt=attempt)
        Event().wait(chance.uniform(0, UNINTERRUPTED_SECONDS))
        interrupt(server, job_id, kind)
    return kinds


def events_of(server: Server, job_id: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = server.get(f"/v1/jobs/{job_id}/events", limit=200)["data"]
    return events


def assert_reported_epochs_are_those_that_were_trained(events: list[dict[str, Any]]) -> None:
    """Assert that the events describe each epoch that is given back, before it is trained again."""
    trained: list[int] = []
    resume_epoch: int | None = None
    for event in events:
        kind, data = event["type"], event["data"]
        if kind in {"job.paused", "job.requeued"}:
            resume_epoch, reason = data["resume_epoch"], data.get("reason")
        elif kind == "epochs.dropped":
            assert reason in KILLED
            kept = data["first_epoch"] - 1
            assert trained[kept:] == list(range(kept + 1, data["last_epoch"] + 1))
            assert kept == (resume_epoch or 0)
            del trained[kept:]
        elif kind == "resume.exact":
            assert data["epoch"] == resume_epoch == len(trained)
        elif kind == "epoch.finished":
            assert data["epoch"] == len(trained) + 1
            trained.append(data["epoch"])
    assert trained == list(range(1, EPOCHS + 1))


def test_a_job_interrupted_ten_times_ends_as_its_twin_and_trains_again_what_was_reported(
    server: Server, plain: Plain, tmp_path: Path
) -> None:
    archive = a_detect_zip(tmp_path / "shapes.zip", train=TRAIN_IMAGES, val=VAL_IMAGES)
    dataset, chance = server.upload(archive, name="shapes"), a_chance()
    twin = server.submit(dataset, **SPEC)
    server.succeed(twin, within=JOB_SECONDS)
    job_id = server.submit(dataset, **SPEC)

    kinds = interrupt_repeatedly(server, job_id, chance)
    server.succeed(job_id, within=JOB_SECONDS)

    events = events_of(server, job_id)
    assert len(server.get(f"/v1/jobs/{job_id}/attempts")["data"]) == 1 + len(kinds)
    assert [each["data"] for each in events if each["type"] == "resume.plain"] == []
    assert_reported_epochs_are_those_that_were_trained(events)
    assert_equal_jobs(server, plain, (job_id, twin), tmp_path)
