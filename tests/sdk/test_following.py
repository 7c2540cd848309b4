"""Follow and wait for jobs, while connections break and the server restarts."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from trainyard import Client, JobFailed, WaitTimeout
from trainyard.operations import following
from trainyard.views.stream import JobEvent, StreamItem, Tick

from tests.browser.site import Site
from tests.browser.training import a_training
from tests.faults.proxy import FaultProxy

pytestmark = pytest.mark.integration


def events_of(items: list[StreamItem]) -> list[JobEvent]:
    return [item for item in items if isinstance(item, JobEvent)]


def assert_whole(items: list[StreamItem], site: Site, job: str) -> None:
    """Check that each event of a job came once and in order."""
    with site.client as reader:
        stored = reader.get(f"/v1/jobs/{job}/events", params={"limit": 200}).json()["data"]
    seen = [(event.seq, event.type) for event in events_of(items)]
    assert seen == [(row["seq"], row["type"]) for row in stored]


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Run something in another thread; raise what it raises."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - raised again below
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    if failures:
        raise failures[0]


class TestFollow:
    def test_events_of_the_past_and_of_now_come_once_and_in_order(
        self, client: Client, site: Site
    ) -> None:
        training = a_training(site, "followed")
        training.epoch(1, 0.1)
        items: list[StreamItem] = []

        for item in client.jobs.get(training.job).follow():
            items.append(item)
            if isinstance(item, JobEvent) and item.type == "epoch.finished":
                training.epoch(2, 0.2) if item.data["epoch"] == 1 else training.succeed()

        assert_whole(items, site, training.job)
        assert any(isinstance(item, Tick) for item in items)

    def test_an_ended_job_is_told_and_left(self, client: Client, site: Site) -> None:
        training = a_training(site, "told")
        training.epoch(1, 0.1)
        training.succeed()

        items = list(client.jobs.get(training.job).follow())

        assert_whole(items, site, training.job)

    def test_only_events_after_a_position_come(self, client: Client, site: Site) -> None:
        training = a_training(site, "later")
        training.epoch(1, 0.1)
        training.succeed()

        items = list(client.jobs.get(training.job).follow(after=2))

        assert events_of(items)[0].seq == 3

    def test_epochs_have_their_metrics(self, client: Client, site: Site) -> None:
        training = a_training(site, "epochs")
        training.epoch(1, 0.25)
        training.succeed()

        (epoch,) = client.jobs.get(training.job).epochs()

        assert epoch.metrics["metrics/F1(B)"] == 0.25

    @pytest.mark.faults
    def test_broken_connections_neither_lose_nor_repeat_an_event(
        self, far_client: Client, proxy: FaultProxy, site: Site, surface: str
    ) -> None:
        chance = random.Random(surface)
        training = a_training(site, "broken")
        items: list[StreamItem] = []
        epoch = 0

        for item in far_client.jobs.get(training.job).follow():
            items.append(item)
            if not isinstance(item, JobEvent) or item.type not in STEPS:
                continue
            if chance.random() < 0.7:
                proxy.break_connections()
            epoch += 1
            training.epoch(epoch, epoch / 10) if epoch < 5 else training.succeed()

        assert_whole(items, site, training.job)

    @pytest.mark.slow
    @pytest.mark.faults
    def test_a_restart_of_the_server_costs_nothing(self, client: Client, site: Site) -> None:
        training = a_training(site, "restarted")
        items: list[StreamItem] = []
        epoch = 0

        for item in client.jobs.get(training.job).follow():
            items.append(item)
            if not isinstance(item, JobEvent) or item.type not in STEPS:
                continue
            epoch += 1
            if epoch == 2:
                site.program.kill()
            training.epoch(epoch, epoch / 10) if epoch < 3 else training.succeed()
            if epoch == 2:
                site.program.started()

        assert_whole(items, site, training.job)

    def test_a_job_is_polled_where_no_stream_comes_through(
        self, client: Client, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "STREAMS_TRIED", 0)
        training = a_training(site, "polled")
        items: list[StreamItem] = []

        for item in client.jobs.get(training.job).follow():
            items.append(item)
            if isinstance(item, JobEvent) and item.type == "trainer.started":
                training.epoch(1, 0.1)
            if isinstance(item, JobEvent) and item.type == "epoch.finished":
                training.succeed()

        assert_whole(items, site, training.job)


STEPS = {"trainer.started", "epoch.finished"}


class TestWait:
    def test_a_job_that_succeeds_is_returned(self, client: Client, site: Site) -> None:
        training = a_training(site, "waited for")
        job = client.jobs.get(training.job)

        with meanwhile(training.succeed):
            job.wait(timeout=60)

        assert job.state == "succeeded"

    def test_a_job_that_runs_has_started(self, client: Client, site: Site) -> None:
        training = a_training(site, "started")

        assert client.jobs.get(training.job).wait(until="started").state == "running"
        training.succeed()

    def test_waiting_ends_in_time(self, client: Client, site: Site) -> None:
        job = client.jobs.get(site.a_job(name="waits"))

        with pytest.raises(WaitTimeout, match="queued"):
            job.wait(timeout=0.1)

    def test_a_cancelled_job_raises_with_its_reason(self, client: Client, site: Site) -> None:
        job = client.jobs.get(site.a_job(name="cancelled")).cancel()

        with pytest.raises(JobFailed) as caught:
            job.wait()

        assert caught.value.reason == "cancelled"
