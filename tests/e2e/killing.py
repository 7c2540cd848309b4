"""Kill workers at random moments, and assert that the results are equal all the same."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

from tests.e2e.conftest import Plain
from tests.waiting import eventually
from tests.worlds.server import Server

ATTEMPT_SECONDS = 120.0
"""To the next epoch of a job whose worker was killed, long before its lease ends by itself."""
EPOCH_SECONDS = 1.5
FEWEST_STEPS = 4


def a_chance() -> random.Random:
    """Return a generator with a new seed for each run; pytest shows the seed if a test fails."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed of the moments: {seed}")  # noqa: T201 -- see above
    return random.Random(seed)


def kill_worker(
    server: Server, job_id: str, *, after: Sequence[int], chance: random.Random
) -> None:
    """Kill the worker once in each of a job's attempts, at some moment after the given epochs."""
    for attempt, epochs in enumerate(after, 1):
        _await_attempt(server, job_id, attempt)
        _await_epochs(server, job_id, epochs)
        Event().wait(chance.uniform(0, EPOCH_SECONDS))
        (worker,) = server.processes("-m worker --slots")
        worker.kill()
    _await_attempt(server, job_id, len(after) + 1)


def _await_attempt(server: Server, job_id: str, number: int) -> None:
    eventually(lambda: server.job(job_id)["attempt"] == number, within=ATTEMPT_SECONDS)


def _await_epochs(server: Server, job_id: str, number: int) -> None:
    metrics = f"/v1/jobs/{job_id}/metrics"
    eventually(lambda: len(server.get(metrics)["epochs"]) >= number, within=ATTEMPT_SECONDS)


def assert_equal_jobs(server: Server, plain: Plain, jobs: tuple[str, str], folder: Path) -> None:
    """Assert that two jobs have equal weights, tables except for times, and API answers."""
    ours, theirs = (_made_by(server, each, folder / each) for each in jobs)
    assert ours.keys() == theirs.keys() >= {"best.pt", "last.pt", "results.csv"}
    weights = [name for name in ours if name.endswith(".pt")]
    files = [str(made[name]) for made in (ours, theirs) for name in weights]
    digests = plain("digests", {"weights": files})
    for name in weights:
        assert digests[str(ours[name])] == digests[str(theirs[name])], name
    for name in ours.keys() - weights:
        assert _rows(ours[name]) == _rows(theirs[name]), name
    assert _told_of(server, jobs[0]) == _told_of(server, jobs[1])


def _made_by(server: Server, job_id: str, folder: Path) -> dict[str, Path]:
    """Download the weights and tables of a job."""
    folder.mkdir()
    artifacts = server.get(f"/v1/jobs/{job_id}/artifacts")["data"]
    names = [each["name"] for each in artifacts if each["kind"] in {"weights", "table"}]
    return {name: server.download(job_id, name, folder) for name in names}


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open() as file:
        return [
            {name: value for name, value in row.items() if name != "time"}
            for row in csv.DictReader(file)
        ]


def _told_of(server: Server, job_id: str) -> dict[str, Any]:
    """Return a job's epochs, best and final evaluation as the API reports them, without times."""
    events = server.get(f"/v1/jobs/{job_id}/events", limit=200)["data"]
    # An epoch is reported twice if the kill came before it was stored.
    steps = {
        each["data"]["epoch"]: each["data"]["optimizer_steps"]
        for each in events
        if each["type"] == "epoch.finished"
    }
    assert min(steps.values()) >= FEWEST_STEPS
    (final,) = [each["data"] for each in events if each["type"] == "trainer.finished"]
    metrics = server.get(f"/v1/jobs/{job_id}/metrics")
    metrics["marks"] = [each for each in metrics["marks"] if each["kind"] != "resumed"]
    return {
        "steps": steps,
        "final": final,
        "best": server.job(job_id)["best"],
        "metrics": {name: metrics[name] for name in ("epochs", "series", "best", "marks")},
    }
