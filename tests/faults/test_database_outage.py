"""A training survives an outage of its database, and all its reports are stored afterwards.

The trainer is the fake one, an epoch a second; supervisor, relay, spool and databases are real.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from app.core.database import Database
from app.jobs.end_reasons import EndReason
from app.jobs.repository import attempts_of
from app.jobs.states import JobState
from tests.faults.first_attempt import FirstAttempt
from tests.faults.proxy import FaultProxy, postgres_proxy
from tests.waiting import eventually
from tests.worlds.rows import job_row
from tests.worlds.worker import PATIENT, QUICK, Worker, a_worker
from worker.processes.process import living_processes
from worker.tasks import work_on

pytestmark = pytest.mark.faults

OUTAGE_SECONDS = PATIENT.lease_seconds / 3
EPOCHS = 15
"""At one epoch per second, the training starts before the outage and ends after it."""


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    """Run the worker in a separate thread; it leaves when the block ends."""
    thread = threading.Thread(target=work_on, args=(worker.context,))
    thread.start()
    try:
        yield
    finally:
        worker.context.leaving.set()
        thread.join(60)
    assert not thread.is_alive()


def for_seconds(seconds: float) -> None:
    """Wait while an outage lasts; its length is under test."""
    threading.Event().wait(seconds)


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Hold a write transaction open on an SQLite database."""
    with database.write() as unit:
        unit.session.execute(text("SELECT 1"))
        yield


@contextmanager
def away(proxy: FaultProxy, fault: str) -> Iterator[None]:
    """Cut or stall the network to PostgreSQL while the block runs."""
    getattr(proxy, fault)()
    yield
    proxy.heal()


def outlives(worker: Worker, first: FirstAttempt, outage: AbstractContextManager[None]) -> None:
    """Train through an outage; assert that no record is lost or duplicated."""
    with working(worker):
        eventually(lambda: len(first.epochs()) >= 2, within=60)
        trainer = set(living_processes(f"{first.job_id}-1"))
        with outage:
            for_seconds(OUTAGE_SECONDS)
            before = first.epochs()
        eventually(lambda: len(first.epochs()) == EPOCHS, within=40, message=lambda: str(before))
        eventually(lambda: first.log().count(b"epoch ") == EPOCHS, within=10)

        assert job_row(worker.context.database, first.job_id).state is JobState.RUNNING
        assert set(living_processes(f"{first.job_id}-1")) == trainer  # neither ended nor doubled

    assert len(before) < 6  # reports did not get through
    assert first.epochs() == list(range(1, EPOCHS + 1))
    assert first.events() == [
        "job.started",
        "trainer.started",
        *["epoch.finished"] * EPOCHS,
        "job.requeued",
    ]
    assert first.checkpoints() == [
        (name, epoch)
        for name in ("best.pt", "last.pt", "results.csv")
        for epoch in (EPOCHS - 1, EPOCHS)
    ]


class TestOutage:
    @pytest.mark.slow
    @pytest.mark.parametrize("fault", ["cut", "stall"])
    def test_a_training_outlives_an_outage_of_postgresql_for_a_third_of_the_lease(
        self,
        fault: str,
        postgres_url: str,
        open_database: Callable[[str], Database],
        tmp_path: Path,
    ) -> None:
        with postgres_proxy(postgres_url) as (proxy, url):
            worker = a_worker(open_database(url), tmp_path, timing=PATIENT)
            worker = worker.with_trainer("train an epoch a second")
            job_id = worker.submit(fields={"train": {"epochs": EPOCHS}})
            first = FirstAttempt(open_database(postgres_url), job_id)

            outlives(worker, first, away(proxy, fault))

    @pytest.mark.slow
    def test_a_training_outlives_an_outage_of_sqlite_for_a_third_of_the_lease(
        self, sqlite_url: str, open_database: Callable[[str], Database], tmp_path: Path
    ) -> None:
        worker = a_worker(open_database(sqlite_url), tmp_path, timing=PATIENT)
        worker = worker.with_trainer("train an epoch a second")
        first = FirstAttempt(
            open_database(sqlite_url), worker.submit(fields={"train": {"epochs": EPOCHS}})
        )

        outlives(worker, first, locked(open_database(sqlite_url)))

    @pytest.mark.parametrize("fault", ["cut", pytest.param("stall", marks=pytest.mark.slow)])
    @pytest.mark.slow
    def test_an_outage_beyond_the_self_fence_kills_the_trainer_and_nothing_is_recorded(
        self,
        fault: str,
        postgres_url: str,
        open_database: Callable[[str], Database],
        tmp_path: Path,
    ) -> None:
        with postgres_proxy(postgres_url) as (proxy, url):
            worker = a_worker(open_database(url), tmp_path, timing=QUICK)
            worker = worker.with_trainer("train an epoch a second")
            job_id = worker.submit(fields={"train": {"epochs": EPOCHS}})
            first = FirstAttempt(open_database(postgres_url), job_id)
            with working(worker):
                eventually(first.epochs, within=60)
                with away(proxy, fault):
                    eventually(lambda: not list(living_processes(f"{job_id}-1")), within=10)
                    before = first.epochs()
                eventually(lambda: "job.requeued" in first.events(), within=30)

        ended = [
            "job.started",
            "trainer.started",
            *["epoch.finished"] * len(before),
            "job.requeued",
        ]
        assert first.events()[: len(ended)] == ended
        assert first.epochs() == before
        with first.database.read() as unit:
            attempt = attempts_of(unit.session, job_id)[0]
        assert attempt.end_reason is EndReason.LEASE_LOST
        assert job_row(first.database, job_id).restarts == 0
