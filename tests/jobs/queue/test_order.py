"""A queue shows the caller's jobs in the order of claims, each with what it waits for."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text, update

from app.core.database import Database, database_now
from app.fleet.tables import Cordon
from app.jobs.life.claim import claim_job
from app.jobs.queue.order import QueuePart, WaitingJob, read_queue
from app.jobs.queue.reasons import QueueReason
from app.jobs.tables import Job, JobProgress
from app.quotas.tables import Usage
from tests.counting import statements_to
from tests.jobs.slots import a_slot
from tests.worlds.rows import OFFER, Rows, a_job, claim, some_rows

LEASE = timedelta(hours=1)
SILENT = timedelta(seconds=60)


def the_queue(
    database: Database, *owners: Rows, queue: str = "default", after: int = 0, limit: int = 100
) -> QueuePart:
    with database.read() as unit:
        projects = {rows.project_id for rows in owners}
        return read_queue(unit.session, projects, queue, after=after, limit=limit, silent=SILENT)


def waiting(database: Database, rows: Rows) -> WaitingJob:
    (job,) = the_queue(database, rows).jobs
    return job


def places(part: QueuePart) -> list[tuple[str, int | None]]:
    return [(each.listed.job.id, each.place) for each in part.jobs]


def claimed_in_order(database: Database) -> list[str]:
    order: list[str] = []
    while True:
        with database.write() as unit:
            job = claim_job(unit.session, OFFER, lease=LEASE)
        if job is None:
            return order
        order.append(job.id)


def limit_running(database: Database, subject_id: str, running: int) -> None:
    with database.write() as unit:
        statement = update(Usage).where(Usage.subject_id == subject_id)
        unit.session.execute(statement.values(max_running_jobs=running))


class TestOrder:
    def test_jobs_of_other_projects_count_and_are_not_shown(self, database: Database) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        mine = [a_job(database, one) for _ in range(3)]
        for _ in range(2):
            a_job(database, other)

        assert places(the_queue(database, one)) == [(mine[0], 1), (mine[1], 3), (mine[2], 5)]

    def test_jobs_that_a_limit_holds_come_last_without_a_place(self, database: Database) -> None:
        one, other = some_rows(database), some_rows(database, name="other")
        held, theirs = a_job(database, one), a_job(database, other)
        limit_running(database, one.project_id, 0)

        part = the_queue(database, one, other)

        assert places(part) == [(theirs, 1), (held, None)]

    def test_a_page_begins_after_a_position(self, database: Database) -> None:
        rows = some_rows(database)
        jobs = [a_job(database, rows) for _ in range(5)]
        first = the_queue(database, rows, limit=2)

        second = the_queue(database, rows, limit=2, after=first.jobs[-1].at)

        assert places(second) == [(jobs[2], 3), (jobs[3], 4)]

    def test_another_queue_has_its_own_places(self, database: Database) -> None:
        rows = some_rows(database)
        a_job(database, rows)
        night = a_job(database, rows, queue="night")

        assert places(the_queue(database, rows, queue="night")) == [(night, 1)]

    def test_jobs_behind_the_places_that_are_looked_at_are_counted(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.jobs.queue.order.MAX_POSITION", 2)
        rows = some_rows(database)
        jobs = [a_job(database, rows) for _ in range(5)]

        part = the_queue(database, rows)

        assert places(part) == [(jobs[0], 1), (jobs[1], 2)]
        assert part.not_shown == 3

    def test_lanes_that_a_limit_holds_are_not_among_those_that_are_looked_at(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.jobs.queue.order.MAX_POSITION", 2)
        held, own = some_rows(database), some_rows(database, name="own")
        for priority in (9, 8, 7):
            a_job(database, held, priority=priority)
        limit_running(database, held.project_id, 0)
        job_id = a_job(database, own)

        assert places(the_queue(database, own)) == [(job_id, 1)]

    def test_the_statements_do_not_depend_on_the_number_of_jobs(self, database: Database) -> None:
        rows = some_rows(database)
        a_slot(database)
        for priority in range(6):
            a_job(database, rows, priority=priority)

        with statements_to(database) as statements:
            the_queue(database, rows)

        assert statements == [
            "SELECT lanes",
            "SELECT jobs",  # the narrow rows of all places
            "SELECT workers",
            "SELECT jobs",  # what slots run
            "SELECT jobs",
            "SELECT jobs",  # with what other rows tell of them
            "SELECT job_tags",
        ]


@pytest.fixture(scope="module")
def emptied(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, tuple[Rows, ...]]]:
    path = tmp_path_factory.mktemp("order") / "trainyard.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}")
    event.listen(database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    yield database, (some_rows(database), some_rows(database, name="other"))
    database.dispose()


class TestAnyQueue:
    @settings(max_examples=15)
    @given(
        submitted=st.lists(
            st.tuples(st.integers(0, 1), st.integers(0, 1), st.booleans()), max_size=12
        )
    )
    def test_a_queue_foretells_the_claims(
        self,
        emptied: tuple[Database, tuple[Rows, ...]],
        submitted: list[tuple[int, int, bool]],
    ) -> None:
        database, owners = emptied
        with database.write() as unit:
            unit.session.execute(text("DELETE FROM jobs"))
            unit.session.execute(text("DELETE FROM lanes"))
        for owner, priority, claims_one in submitted:
            a_job(database, owners[owner], priority=priority)
            if claims_one:
                claim(database)
        shown = places(the_queue(database, *owners))
        of_one = places(the_queue(database, owners[0]))

        order = claimed_in_order(database)

        assert shown == [(job, number) for number, job in enumerate(order, 1)]
        assert set(of_one) <= set(shown)


class TestReasons:
    def test_a_job_waits_for_a_slot(self, database: Database) -> None:
        rows = some_rows(database)
        a_slot(database)
        a_job(database, rows)

        assert waiting(database, rows).waits_for is QueueReason.SLOT

    def test_a_job_that_no_slot_suits_waits_for_a_worker(self, database: Database) -> None:
        rows = some_rows(database)
        a_slot(database)
        a_job(database, rows, gpus=2)

        found = waiting(database, rows)

        assert (found.waits_for, found.starts_in_seconds) == (QueueReason.NO_MATCHING_WORKER, None)

    def test_a_job_whose_slots_are_cordoned_says_so(self, database: Database) -> None:
        rows = some_rows(database)
        a_slot(database, cordon=Cordon.CORDONED)
        a_job(database, rows)

        assert waiting(database, rows).waits_for is QueueReason.CORDONED

    def test_a_back_off_has_an_end(self, database: Database) -> None:
        rows = some_rows(database)
        a_slot(database)
        a_job(database, rows, not_before_at=database_now(timedelta(minutes=5)))

        found = waiting(database, rows)

        assert found.waits_for is QueueReason.BACK_OFF
        assert found.until is not None

    def test_a_back_off_that_is_over_holds_nothing(self, database: Database) -> None:
        rows = some_rows(database)
        a_slot(database)
        a_job(database, rows, not_before_at=database_now(timedelta(minutes=-5)))

        found = waiting(database, rows)

        assert (found.waits_for, found.until) == (QueueReason.SLOT, None)

    def test_a_limit_is_named(self, database: Database) -> None:
        rows = some_rows(database)
        a_slot(database)
        a_job(database, rows)
        limit_running(database, rows.user_id, 0)

        assert waiting(database, rows).waits_for is QueueReason.USER_RUNNING_LIMIT


class TestStarts:
    def test_a_start_follows_the_running_job_and_those_before(self, database: Database) -> None:
        rows = some_rows(database)
        worker_id = a_slot(database)
        running = a_job(database, rows)
        with database.write() as unit:
            taken = {"state": "running", "worker_id": worker_id}
            lease = {"lease_expires_at": database_now(LEASE)}
            statement = update(Job).where(Job.id == running)
            unit.session.execute(statement.values(**taken, **lease))
            unit.session.add(
                JobProgress(
                    job_id=running,
                    epoch=1,
                    epochs=2,
                    batch=1,
                    batches=2,
                    losses={},
                    eta_seconds=1000.0,
                    updated_at=database_now(timedelta(seconds=-100)),
                )
            )
        for _ in range(2):
            a_job(database, rows, estimated_seconds=600.0)

        first, second = the_queue(database, rows).jobs

        assert first.starts_in_seconds == pytest.approx(900, abs=30)
        assert second.starts_in_seconds == pytest.approx(1500, abs=30)
