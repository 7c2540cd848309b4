"""A broker that is down, restarts empty, or repeats, delays and reorders messages costs only time.

The broker is the embedded one, which persists no message: a kill loses all of them.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from app.jobs.life.doorbell import RUN_JOB_TASK, make_producer, queue_of_jobs
from tests.faults.invariants import violations
from tests.faults.proxy import fault_proxy
from tests.waiting import eventually
from tests.worlds.cluster import Cluster, null_job

pytestmark = [pytest.mark.integration, pytest.mark.faults]

RUNNING_SECONDS = 60.0
JOB_SECONDS = 120.0
SLOW_SECONDS = 2.0


@pytest.fixture(scope="module")
def module_database_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Use one kind of database only: these faults do not concern it."""
    path = tmp_path_factory.mktemp("database") / "trainyard.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def cluster_that_works(cluster: Cluster, dataset: str) -> Cluster:
    """Start a worker while the broker is down, and return once it has finished a job."""
    cluster.broker.kill()
    cluster.add_worker().program.start()
    cluster.await_null_trainer()
    waiting = cluster.submit(dataset, **null_job())
    assert cluster.job(waiting)["state"] == "queued"
    cluster.broker.started()
    cluster.finish(waiting, within=JOB_SECONDS)
    return cluster


def epochs(cluster: Cluster, job_id: str) -> int:
    return len(cluster.get(f"/v1/jobs/{job_id}/metrics")["epochs"])


def attempts(cluster: Cluster, job_id: str) -> int:
    number: int = cluster.job(job_id)["attempt"]
    return number


class TestBroker:
    @pytest.mark.slow
    def test_q1_a_worker_started_without_it_comes_up_when_it_returns(
        self, cluster_that_works: Cluster
    ) -> None:
        started_without_broker = cluster_that_works.workers[0]

        assert started_without_broker.program.is_alive
        assert violations(cluster_that_works) == []

    @pytest.mark.slow
    def test_q2_an_outage_of_the_broker_leaves_a_running_job_alone(
        self, cluster_that_works: Cluster, dataset: str
    ) -> None:
        cluster = cluster_that_works
        running = cluster.submit(dataset, **null_job(epochs=20, seconds_per_epoch=0.5))
        eventually(
            lambda: epochs(cluster, running) >= 1, within=RUNNING_SECONDS, message=cluster.tails
        )

        cluster.broker.kill()
        before = epochs(cluster, running)
        waiting = cluster.submit(dataset, **null_job())
        eventually(lambda: epochs(cluster, running) >= before + 4, within=RUNNING_SECONDS)
        cluster.broker.started()

        cluster.finish(running, within=JOB_SECONDS)
        cluster.finish(waiting, within=JOB_SECONDS)
        assert (attempts(cluster, running), attempts(cluster, waiting)) == (1, 1)
        assert violations(cluster) == []

    @pytest.mark.slow
    def test_q2_messages_that_are_flushed_are_rung_again(
        self, cluster_that_works: Cluster, dataset: str
    ) -> None:
        cluster = cluster_that_works
        running = cluster.submit(dataset, **null_job(epochs=6, seconds_per_epoch=0.5))
        eventually(
            lambda: epochs(cluster, running) >= 1, within=RUNNING_SECONDS, message=cluster.tails
        )
        waiting = [cluster.submit(dataset, **null_job()) for _ in range(3)]

        cluster.redis.flushall()

        for job_id in (running, *waiting):
            cluster.finish(job_id, within=JOB_SECONDS)
            assert attempts(cluster, job_id) == 1
        assert violations(cluster) == []

    @pytest.mark.slow
    def test_q3_messages_twice_late_and_out_of_order_run_each_job_once(
        self, cluster_that_works: Cluster, dataset: str
    ) -> None:
        cluster = cluster_that_works
        running = cluster.submit(dataset, **null_job(epochs=6, seconds_per_epoch=0.5))
        eventually(
            lambda: epochs(cluster, running) >= 1, within=RUNNING_SECONDS, message=cluster.tails
        )
        jobs = [running, *(cluster.submit(dataset, **null_job()) for _ in range(3))]
        url = cluster.environment(cluster.folder)["TRAINYARD_BROKER_URL"]

        with make_producer(url) as producer:
            for job_id in [*reversed(jobs), *jobs, *reversed(cluster.acknowledged)]:
                for number in (3, 1, 2):
                    producer.send_task(
                        RUN_JOB_TASK, (job_id, number), queue=queue_of_jobs("default")
                    )

        for job_id in jobs:
            cluster.finish(job_id, within=JOB_SECONDS)
            assert attempts(cluster, job_id) == 1
        last = cluster.submit(dataset, **null_job())
        cluster.finish(last, within=JOB_SECONDS)
        assert violations(cluster) == []

    @pytest.mark.slow
    def test_q6_a_broker_that_hangs_or_is_slow_costs_no_lease(
        self, cluster_that_works: Cluster, dataset: str
    ) -> None:
        cluster = cluster_that_works
        of_far: dict[str, Any] = {"resources": {"queue": "far"}}
        far = cluster.add_worker(queues="far")
        longer_than_a_lease = 2 * int(cluster.timing.lease_seconds)

        with fault_proxy(cluster.broker_socket) as proxy:
            assert isinstance(proxy.address, tuple)
            host, port = proxy.address
            far.program.start(TRAINYARD_BROKER_URL=f"redis://{host}:{port}/0")
            jobs = [cluster.submit(dataset, **of_far, **null_job(epochs=20, seconds_per_epoch=0.5))]
            eventually(
                lambda: epochs(cluster, jobs[0]) >= 1, within=JOB_SECONDS, message=cluster.tails
            )
            proxy.stall()
            before = epochs(cluster, jobs[0])
            jobs.append(cluster.submit(dataset, **of_far, **null_job()))
            eventually(
                lambda: epochs(cluster, jobs[0]) >= before + 2 * longer_than_a_lease,
                within=RUNNING_SECONDS,
            )
            proxy.heal()
            for job_id in jobs:
                cluster.finish(job_id, within=JOB_SECONDS)
            proxy.delay(SLOW_SECONDS)
            jobs.append(cluster.submit(dataset, **of_far, **null_job()))
            cluster.finish(jobs[-1], within=JOB_SECONDS)
            far.program.end()

        assert [attempts(cluster, job_id) for job_id in jobs] == [1, 1, 1]
        assert violations(cluster) == []
