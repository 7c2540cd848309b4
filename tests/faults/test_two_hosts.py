"""Two machines that share only the database, the broker and the store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.invariants import violations
from tests.waiting import eventually
from tests.worlds.cluster import (
    NULL_TIMING,
    REAL_TIMING,
    STATE_EVERY,
    Cluster,
    Node,
    a_cluster,
    null_job,
    real_job,
)

pytestmark = [pytest.mark.integration, pytest.mark.faults]

START_SECONDS = 120.0
JOB_SECONDS = 280.0


@pytest.fixture(
    params=[
        "null",
        pytest.param("real", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hosts(postgres_url: str, tmp_path: Path, kind: str) -> Iterator[Cluster]:
    timing = NULL_TIMING if kind == "null" else REAL_TIMING
    with a_cluster(tmp_path / "cluster", postgres_url, timing) as cluster:
        for _ in range(2):
            cluster.add_worker().program.start()
        yield cluster


@pytest.mark.slow
def test_the_other_machine_finishes_what_a_dead_one_began(
    hosts: Cluster, archive: Path, kind: str
) -> None:
    hosts.await_null_trainer()
    dataset = hosts.upload(archive)
    wish = null_job(epochs=10, seconds_per_epoch=0.4) if kind == "null" else real_job(epochs=8)
    job_id = hosts.submit(dataset, **wish)
    eventually(
        lambda: _epochs(hosts, job_id) >= STATE_EVERY,
        within=START_SECONDS,
        message=hosts.tails,
    )

    dead = _node_that_works(hosts)
    dead.program.kill_all()

    hosts.finish(job_id, within=JOB_SECONDS)
    attempts = hosts.get(f"/v1/jobs/{job_id}/attempts")["data"]
    assert [each["end_reason"] for each in attempts] == ["worker_lost", "succeeded"], attempts
    assert attempts[0]["worker"] != attempts[1]["worker"]
    assert attempts[1]["resumed"] == "exact"
    assert violations(hosts) == []


@pytest.mark.slow
def test_the_other_machine_continues_the_job_of_a_drained_one_exactly(
    hosts: Cluster, archive: Path, kind: str
) -> None:
    hosts.await_null_trainer()
    dataset = hosts.upload(archive)
    wish = null_job(epochs=30, seconds_per_epoch=0.4) if kind == "null" else real_job(epochs=8)
    job_id = hosts.submit(dataset, **wish)
    eventually(
        lambda: _epochs(hosts, job_id) >= STATE_EVERY,
        within=START_SECONDS,
        message=hosts.tails,
    )
    busy = next(each for each in _workers(hosts) if each["busy"])

    answer = hosts.insist("POST", f"/v1/workers/{busy['id']}/drain")

    assert (answer.status_code, answer.json()["draining"]) == (202, True)
    hosts.finish(job_id, within=JOB_SECONDS)
    attempts = hosts.get(f"/v1/jobs/{job_id}/attempts")["data"]
    assert [each["end_reason"] for each in attempts] == ["worker_drained", "succeeded"], attempts
    assert attempts[0]["worker"] == busy["id"] != attempts[1]["worker"]
    assert attempts[1]["resumed"] == "exact"
    drained = next(each for each in _workers(hosts) if each["id"] == busy["id"])
    assert (drained["cordoned"], drained["draining"], drained["busy"]) == (True, False, False)
    assert violations(hosts) == []


def _workers(cluster: Cluster) -> list[dict[str, Any]]:
    workers: list[dict[str, Any]] = cluster.get("/v1/workers")["data"]
    return workers


def _epochs(cluster: Cluster, job_id: str) -> int:
    return len(cluster.get(f"/v1/jobs/{job_id}/metrics")["epochs"])


def _node_that_works(cluster: Cluster) -> Node:
    (working,) = [each for each in cluster.workers if each.program.descendants()]
    return working
