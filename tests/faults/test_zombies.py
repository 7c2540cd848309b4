"""A worker that stood still for longer than its lease wakes up beside its successor."""

import pytest
from sqlalchemy import select

from app.artifacts.tables import Artifact
from app.core.database import Base, Database
from app.events.tables import EventRow
from app.jobs.tables import Attempt, Epoch
from tests.faults.invariants import violations
from tests.faults.visitor import Host, null_job
from tests.waiting import eventually
from tests.worlds.cluster import Site

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.mostly_sqlite]

RUNNING_SECONDS = 60.0
JOB_SECONDS = 120.0
FENCED_SECONDS = 30.0
TABLES = (Epoch, Artifact, EventRow, Attempt)


class TestAWorkerThatStoodStill:
    def test_a_worker_that_stood_still_writes_nothing_and_continues_with_the_next_job(
        self, site: Site, dataset: str
    ) -> None:
        zombie = site.add_worker()
        zombie.program.start()
        site.await_null_trainer()
        job_id = site.submit(dataset, **null_job(epochs=12, seconds_per_epoch=0.5))
        eventually(lambda: _epochs(site, job_id) >= 2, within=RUNNING_SECONDS, message=site.tails)

        frozen = _frozen_between_transactions(zombie, site)
        other = site.add_worker()
        other.program.start()
        site.finish(job_id, within=JOB_SECONDS)
        before = _rows(site, job_id)
        zombie.program.thaw(frozen)

        eventually(
            lambda: _has_given_up(zombie), within=FENCED_SECONDS, message=zombie.program.tail
        )
        assert _rows(site, job_id) == before
        assert _attempts(before) == [1, 2]
        assert zombie.program.is_alive
        assert violations(site) == []

        other.program.kill()
        site.finish(site.submit(dataset, **null_job()), within=JOB_SECONDS)  # by the zombie
        assert violations(site) == []


def _frozen_between_transactions(worker: Host, site: Site) -> list[int]:
    """Freeze it where it holds no lock of the database, which would hold up everybody on SQLite."""
    frozen: list[int] = []

    def stands_without_a_lock() -> bool:
        frozen[:] = worker.program.freeze()
        if site.database_is_free():
            return True
        worker.program.thaw(frozen)
        return False

    eventually(stands_without_a_lock, within=RUNNING_SECONDS)
    return frozen


def _epochs(site: Site, job_id: str) -> int:
    return len(site.get(f"/v1/jobs/{job_id}/metrics")["epochs"])


def _has_given_up(worker: Host) -> bool:
    """Whether it has noticed, killed its trainer and cleared what it had on disk."""
    attempts = worker.home / "worker" / "attempts"
    return not any(attempts.iterdir()) and not worker.program.descendants()


def _rows(site: Site, job_id: str) -> dict[str, list[dict[str, object]]]:
    """Everything that an attempt writes of a job, as it stands."""
    with site.database() as database:
        return {table.__tablename__: _all_of(database, table, job_id) for table in TABLES}


def _all_of(database: Database, table: type[Base], job_id: str) -> list[dict[str, object]]:
    columns = table.__table__.columns
    with database.read() as unit:
        rows = unit.session.execute(
            select(*columns).where(columns.job_id == job_id).order_by(*columns.values()[:2])
        )
        return [dict(row._mapping) for row in rows]


def _attempts(rows: dict[str, list[dict[str, object]]]) -> list[object]:
    return [row["number"] for row in rows["attempts"]]
