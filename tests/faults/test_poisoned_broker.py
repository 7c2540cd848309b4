"""Messages in the broker that Trainyard did not send, and a broker that accepts no messages."""

import base64
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.jobs.life.doorbell import RUN_JOB_TASK, queue_of_jobs
from tests.faults.invariants import violations
from tests.waiting import eventually
from tests.worlds.cluster import Cluster, a_cluster, null_job

pytestmark = [pytest.mark.integration, pytest.mark.faults]

JOB_SECONDS = 90.0
QUEUE = queue_of_jobs("default")


class Exploding:
    """Unpickling it would create a file."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._trace,))


@pytest.fixture(scope="module")
def cluster(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("poisoned")
    database = folder / "trainyard.db"
    database.write_bytes(sqlite_template.read_bytes())
    with a_cluster(folder / "cluster", f"sqlite:///{database}") as cluster:
        cluster.add_worker(slot_alone=False).program.start()
        cluster.await_null_trainer()
        yield cluster


def a_message(task: str, body: bytes, content_type: str) -> str:
    """Return a message as Celery pushes it to a list."""
    headers = {"lang": "py", "task": task, "id": "poison", "root_id": "poison", "argsrepr": "()"}
    properties = {
        "correlation_id": "poison",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": "poison",
    }
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "binary" if "pickle" in content_type else "utf-8",
            "content-type": content_type,
            "headers": headers,
            "properties": properties,
        }
    )


class TestPoison:
    @pytest.mark.slow
    def test_q5_a_poisoned_message_is_thrown_away_and_the_next_job_runs(
        self, cluster: Cluster, dataset: str, tmp_path: Path
    ) -> None:
        trace = tmp_path / "exploded"
        pickled = pickle.dumps(Exploding(trace))
        nothing = json.dumps([[], {}, {}]).encode()
        poisons = [
            a_message("os.system", nothing, "application/json"),
            a_message(RUN_JOB_TASK, pickled, "application/x-python-serialize"),
            a_message(RUN_JOB_TASK, b"{", "application/json"),
            a_message(
                RUN_JOB_TASK,
                json.dumps([["job_none", "x", 3], {}, {}]).encode(),
                "application/json",
            ),
        ]
        for poison in poisons:
            cluster.redis.lpush(QUEUE, poison)

        eventually(
            lambda: cluster.redis.llen(QUEUE) == 0, within=JOB_SECONDS, message=cluster.tails
        )
        cluster.finish(cluster.submit(dataset, **null_job()), within=JOB_SECONDS)

        assert not trace.exists()
        assert violations(cluster) == []

    @pytest.mark.slow
    def test_q5_a_message_without_an_envelope_ends_a_slot_that_is_started_again(
        self, cluster: Cluster, dataset: str
    ) -> None:
        cluster.redis.lpush(QUEUE, "no message at all")

        job_id = cluster.submit(dataset, **null_job())

        cluster.finish(job_id, within=JOB_SECONDS)
        assert violations(cluster) == []


class TestAFullBroker:
    @pytest.mark.slow
    def test_q7_a_full_broker_takes_no_bell_and_the_job_runs_later(
        self, cluster: Cluster, dataset: str
    ) -> None:
        cluster.redis.config_set("maxmemory", "1")

        job_id = cluster.submit(dataset, **null_job())  # acknowledged
        assert cluster.job(job_id)["state"] in {"queued", "running", "succeeded"}
        cluster.redis.config_set("maxmemory", "0")

        cluster.finish(job_id, within=JOB_SECONDS)
        assert violations(cluster) == []

    @pytest.mark.slow
    def test_q2_a_flushed_broker_loses_nothing(self, cluster: Cluster, dataset: str) -> None:
        jobs = [cluster.submit(dataset, **null_job()) for _ in range(3)]
        cluster.redis.flushall()

        for job_id in jobs:
            cluster.finish(job_id, within=JOB_SECONDS)

        assert violations(cluster) == []
