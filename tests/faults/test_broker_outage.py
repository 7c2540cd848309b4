"""A broker that is away, restarts empty, or repeats, delays and reorders messages costs time only.

The embedded one, which keeps nothing: what is killed has lost every message.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from app.jobs.life.doorbell import RUN_JOB_TASK, make_producer, queue_of_jobs
from tests.faults.invariants import violations
from tests.faults.proxy import fault_proxy
from tests.faults.visitor import null_job
from tests.waiting import eventually
from tests.worlds.cluster import Site

pytestmark = [pytest.mark.integration, pytest.mark.faults]

RUNNING_SECONDS = 60.0
JOB_SECONDS = 120.0
SLOW_SECONDS = 2.0


@pytest.fixture(scope="module")
def module_database_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One kind of database will do: it has no part in what is broken here."""
    path = tmp_path_factory.mktemp("database") / "trainyard.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def site_that_works(site: Site, dataset: str) -> Site:
    """A worker is there that was started while the broker was away, and has done a job since."""
    site.broker.kill()
    site.add_worker().program.start()
    site.await_null_trainer()
    waiting = site.submit(dataset, **null_job())
    assert site.job(waiting)["state"] == "queued"
    site.broker.started()
    site.finish(waiting, within=JOB_SECONDS)
    return site


def epochs(site: Site, job_id: str) -> int:
    return len(site.get(f"/v1/jobs/{job_id}/metrics")["epochs"])


def attempts(site: Site, job_id: str) -> int:
    number: int = site.job(job_id)["attempt"]
    return number


class TestBroker:
    def test_q1_a_worker_started_without_it_comes_up_when_it_returns(
        self, site_that_works: Site
    ) -> None:
        started_without_broker = site_that_works.workers[0]

        assert started_without_broker.program.is_alive
        assert violations(site_that_works) == []

    def test_q2_an_outage_of_the_broker_leaves_a_running_job_alone(
        self, site_that_works: Site, dataset: str
    ) -> None:
        site = site_that_works
        running = site.submit(dataset, **null_job(epochs=20, seconds_per_epoch=0.5))
        eventually(lambda: epochs(site, running) >= 1, within=RUNNING_SECONDS, message=site.tails)

        site.broker.kill()
        before = epochs(site, running)
        waiting = site.submit(dataset, **null_job())
        eventually(lambda: epochs(site, running) >= before + 4, within=RUNNING_SECONDS)
        site.broker.started()

        site.finish(running, within=JOB_SECONDS)
        site.finish(waiting, within=JOB_SECONDS)
        assert (attempts(site, running), attempts(site, waiting)) == (1, 1)
        assert violations(site) == []

    def test_q2_messages_that_are_flushed_are_rung_again(
        self, site_that_works: Site, dataset: str
    ) -> None:
        site = site_that_works
        running = site.submit(dataset, **null_job(epochs=6, seconds_per_epoch=0.5))
        eventually(lambda: epochs(site, running) >= 1, within=RUNNING_SECONDS, message=site.tails)
        waiting = [site.submit(dataset, **null_job()) for _ in range(3)]

        site.redis.flushall()

        for job_id in (running, *waiting):
            site.finish(job_id, within=JOB_SECONDS)
            assert attempts(site, job_id) == 1
        assert violations(site) == []

    def test_q3_messages_twice_late_and_out_of_order_run_each_job_once(
        self, site_that_works: Site, dataset: str
    ) -> None:
        site = site_that_works
        running = site.submit(dataset, **null_job(epochs=6, seconds_per_epoch=0.5))
        eventually(lambda: epochs(site, running) >= 1, within=RUNNING_SECONDS, message=site.tails)
        jobs = [running, *(site.submit(dataset, **null_job()) for _ in range(3))]
        url = site.environment(site.folder)["TRAINYARD_BROKER_URL"]

        with make_producer(url) as producer:
            for job_id in [*reversed(jobs), *jobs, *reversed(site.acknowledged)]:
                for number in (3, 1, 2):
                    producer.send_task(
                        RUN_JOB_TASK, (job_id, number), queue=queue_of_jobs("default")
                    )

        for job_id in jobs:
            site.finish(job_id, within=JOB_SECONDS)
            assert attempts(site, job_id) == 1
        last = site.submit(dataset, **null_job())
        site.finish(last, within=JOB_SECONDS)
        assert violations(site) == []

    @pytest.mark.slow
    def test_q6_a_broker_that_hangs_or_is_slow_costs_no_lease(
        self, site_that_works: Site, dataset: str
    ) -> None:
        site = site_that_works
        of_far: dict[str, Any] = {"resources": {"queue": "far"}}
        far = site.add_worker(queues="far")
        longer_than_a_lease = 2 * int(site.timing.lease_seconds)

        with fault_proxy(site.broker_socket) as proxy:
            assert isinstance(proxy.address, tuple)
            host, port = proxy.address
            far.program.start(TRAINYARD_BROKER_URL=f"redis://{host}:{port}/0")
            jobs = [site.submit(dataset, **of_far, **null_job(epochs=20, seconds_per_epoch=0.5))]
            eventually(lambda: epochs(site, jobs[0]) >= 1, within=JOB_SECONDS, message=site.tails)
            proxy.stall()
            before = epochs(site, jobs[0])
            jobs.append(site.submit(dataset, **of_far, **null_job()))
            eventually(
                lambda: epochs(site, jobs[0]) >= before + 2 * longer_than_a_lease,
                within=RUNNING_SECONDS,
            )
            proxy.heal()
            for job_id in jobs:
                site.finish(job_id, within=JOB_SECONDS)
            proxy.delay(SLOW_SECONDS)
            jobs.append(site.submit(dataset, **of_far, **null_job()))
            site.finish(jobs[-1], within=JOB_SECONDS)
            far.program.end()

        assert [attempts(site, job_id) for job_id in jobs] == [1, 1, 1]
        assert violations(site) == []
