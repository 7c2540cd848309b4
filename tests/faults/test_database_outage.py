"""A training outlives an outage of its database, and what was said meanwhile is there afterwards.

The trainer is the fake one, an epoch a second; supervisor, relay, spool and databases are real.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select, text

from app.artifacts.repository import checkpoints_of
from app.core.database import Database
from app.events.repository import events_after
from app.jobs.life.recording import log_pieces
from app.jobs.repository import attempts_of
from app.jobs.states import EndReason, JobState
from app.jobs.tables import Epoch
from tests.faults.proxy import FaultProxy, postgres_proxy
from tests.jobs.builders import job_row
from tests.waiting import eventually
from tests.worker.attempts import Yard, a_yard
from tests.worker.claims import QUICK
from worker.attempt.process import living_processes
from worker.tasks import work_on

pytestmark = pytest.mark.faults

LEASE_OF_30 = QUICK.model_copy(
    update={"lease_seconds": 30.0, "heartbeat_seconds": 2.0, "self_fence_seconds": 25.0}
)
OUTAGE_SECONDS = LEASE_OF_30.lease_seconds / 3
EPOCHS = 15
"""At one a second: the training begins before the outage and ends after it."""


@contextmanager
def working(yard: Yard) -> Iterator[None]:
    """Work in a thread of its own; the worker leaves when the block ends."""
    thread = threading.Thread(target=work_on, args=(yard.context,))
    thread.start()
    try:
        yield
    finally:
        yard.context.leaving.set()
        thread.join(60)
    assert not thread.is_alive()


def for_seconds(seconds: float) -> None:
    """Let an outage last; it is its length that is tested."""
    threading.Event().wait(seconds)


class Told:
    """What the database says of a job's first attempt, asked past the broken connection."""

    def __init__(self, database: Database, job_id: str) -> None:
        self.database = database
        self.job_id = job_id

    def epochs(self) -> list[int]:
        with self.database.read() as unit:
            mine = (Epoch.job_id == self.job_id, Epoch.attempt == 1)
            return sorted(unit.session.scalars(select(Epoch.epoch).where(*mine)))

    def checkpoints(self) -> list[tuple[str, int | None]]:
        with self.database.read() as unit:
            return sorted(
                (row.name, row.epoch) for row in checkpoints_of(unit.session, self.job_id)
            )

    def events(self) -> list[str]:
        """Types of all events, whose numbers leave no gap."""
        with self.database.read() as unit:
            events = events_after(unit.session, self.job_id, seq=0, limit=999)
        assert [event.seq for event in events] == list(range(2, len(events) + 2))  # 1: its submit
        return [event.type for event in events]

    def log(self) -> bytes:
        with self.database.read() as unit:
            return b"".join(log_pieces(unit.session, self.job_id, 1))


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Somebody else writes to an SQLite database, and does not end."""
    with database.write() as unit:
        unit.session.execute(text("SELECT 1"))
        yield


@contextmanager
def away(proxy: FaultProxy, fault: str) -> Iterator[None]:
    """The network to PostgreSQL is cut, or swallows everything."""
    getattr(proxy, fault)()
    yield
    proxy.heal()


def outlives(yard: Yard, told: Told, outage: AbstractContextManager[None]) -> None:
    """Train through an outage, and see that nothing is lost or doubled."""
    with working(yard):
        eventually(lambda: len(told.epochs()) >= 2, within=60)
        with outage:
            for_seconds(OUTAGE_SECONDS)
            before = told.epochs()
        eventually(lambda: len(told.epochs()) == EPOCHS, within=40, message=lambda: str(before))
        eventually(lambda: told.log().count(b"epoch ") == EPOCHS, within=10)

        assert job_row(yard.context.database, told.job_id).state is JobState.RUNNING
        assert len(list(living_processes(f"{told.job_id}-1"))) == 1

    assert len(before) < 6  # it was an outage
    assert told.epochs() == list(range(1, EPOCHS + 1))
    assert told.events() == [
        "job.started",
        "trainer.started",
        *["epoch.finished"] * EPOCHS,
        "job.requeued",
    ]
    assert told.checkpoints() == [
        (name, epoch)
        for name in ("best.pt", "last.pt", "results.csv")
        for epoch in (EPOCHS - 1, EPOCHS)
    ]


class TestOutage:
    @pytest.mark.parametrize("fault", ["cut", pytest.param("stall", marks=pytest.mark.slow)])
    def test_of_postgresql_for_a_third_of_the_lease(
        self,
        fault: str,
        postgres_url: str,
        open_database: Callable[[str], Database],
        tmp_path: Path,
    ) -> None:
        with postgres_proxy(postgres_url) as (proxy, url):
            yard = a_yard(open_database(url), tmp_path, timing=LEASE_OF_30)
            yard = yard.with_trainer("train an epoch a second")
            job_id = yard.submit(fields={"train": {"epochs": EPOCHS}})
            told = Told(open_database(postgres_url), job_id)

            outlives(yard, told, away(proxy, fault))

    def test_of_sqlite_for_a_third_of_the_lease(
        self, sqlite_url: str, open_database: Callable[[str], Database], tmp_path: Path
    ) -> None:
        yard = a_yard(open_database(sqlite_url), tmp_path, timing=LEASE_OF_30)
        yard = yard.with_trainer("train an epoch a second")
        told = Told(open_database(sqlite_url), yard.submit(fields={"train": {"epochs": EPOCHS}}))

        outlives(yard, told, locked(open_database(sqlite_url)))

    @pytest.mark.parametrize("fault", ["cut", "stall"])
    def test_beyond_the_self_fence_kills_the_trainer_and_nothing_of_it_lands(
        self,
        fault: str,
        postgres_url: str,
        open_database: Callable[[str], Database],
        tmp_path: Path,
    ) -> None:
        with postgres_proxy(postgres_url) as (proxy, url):
            yard = a_yard(open_database(url), tmp_path, timing=QUICK)
            yard = yard.with_trainer("train an epoch a second")
            job_id = yard.submit(fields={"train": {"epochs": EPOCHS}})
            told = Told(open_database(postgres_url), job_id)
            with working(yard):
                eventually(told.epochs, within=60)
                with away(proxy, fault):
                    eventually(lambda: not list(living_processes(f"{job_id}-1")), within=10)
                    before = told.epochs()
                eventually(lambda: "job.requeued" in told.events(), within=30)

        ended = [
            "job.started",
            "trainer.started",
            *["epoch.finished"] * len(before),
            "job.requeued",
        ]
        assert told.events()[: len(ended)] == ended
        assert told.epochs() == before
        with told.database.read() as unit:
            attempt = attempts_of(unit.session, job_id)[0]
        assert attempt.end_reason is EndReason.LEASE_LOST
        assert job_row(told.database, job_id).restarts == 0
