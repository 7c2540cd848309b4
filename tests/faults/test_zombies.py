"""A worker that was frozen for longer than its lease wakes up beside its successor."""

import pytest
from sqlalchemy import select

from app.artifacts.tables import Artifact
from app.core.database import Base, Database
from app.events.tables import EventRow
from app.jobs.tables import Attempt, Epoch
from tests.faults.invariants import violations
from tests.waiting import eventually
from tests.worlds.cluster import Cluster, Node, null_job

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.mostly_sqlite]

RUNNING_SECONDS = 60.0
JOB_SECONDS = 120.0
FENCED_SECONDS = 30.0
TABLES = (Epoch, Artifact, EventRow, Attempt)


class TestAWorkerThatStoodStill:
    @pytest.mark.slow
    def test_a_worker_that_stood_still_writes_nothing_and_continues_with_the_next_job(
        self, cluster: Cluster, dataset: str
    ) -> None:
        zombie = cluster.add_worker()
        zombie.program.start()
        cluster.await_null_trainer()
        job_id = cluster.submit(dataset, **null_job(epochs=12, seconds_per_epoch=0.5))
        eventually(
            lambda: _epochs(cluster, job_id) >= 2, within=RUNNING_SECONDS, message=cluster.tails
        )

        frozen = _frozen_between_transactions(zombie, cluster)
        other = cluster.add_worker()
        other.program.start()
        cluster.finish(job_id, within=JOB_SECONDS)
        before = _rows(cluster, job_id)
        zombie.program.thaw(frozen)

        eventually(
            lambda: _has_given_up(zombie), within=FENCED_SECONDS, message=zombie.program.tail
        )
        assert _rows(cluster, job_id) == before
        assert _attempts(before) == [1, 2]
        assert zombie.program.is_alive
        assert violations(cluster) == []

        other.program.kill()
        cluster.finish(cluster.submit(dataset, **null_job()), within=JOB_SECONDS)  # by the zombie
        assert violations(cluster) == []


def _frozen_between_transactions(worker: Node, cluster: Cluster) -> list[int]:
    """Freeze the worker while it holds no database lock, which would block all others on SQLite."""
    frozen: list[int] = []

    def stands_without_a_lock() -> bool:
        frozen[:] = worker.program.freeze()
        if cluster.database_is_free():
            return True
        worker.program.thaw(frozen)
        return False

    eventually(stands_without_a_lock, within=RUNNING_SECONDS)
    return frozen


def _epochs(cluster: Cluster, job_id: str) -> int:
    return len(cluster.get(f"/v1/jobs/{job_id}/metrics")["epochs"])


def _has_given_up(worker: Node) -> bool:
    """Return whether it noticed the loss, killed its trainer and removed its files."""
    attempts = worker.home / "worker" / "attempts"
    return not any(attempts.iterdir()) and not worker.program.descendants()


def _rows(cluster: Cluster, job_id: str) -> dict[str, list[dict[str, object]]]:
    """Return the current rows that an attempt writes for a job."""
    with cluster.database() as database:
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
