"""Frequent queries find their rows by an index, however many jobs there are."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.core.database import Database
from app.events.repository import EventFilter, events_page
from app.events.tables import Level
from app.jobs.life.claim import SlotOffer, claim_job
from app.jobs.places import lanes_around, places_of
from app.jobs.plan.estimate import alike_jobs
from app.jobs.queue.occupants import occupants
from app.jobs.repository import queue_counts, queue_position
from tests.worlds.rows import Rows, a_job, job_row, some_rows

OFFER = SlotOffer("wrk_1", ("default",), gpus=0)


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.dispose()


@pytest.fixture
def rows(sqlite: Database) -> Rows:
    return some_rows(sqlite)


def plans_of(
    database: Database, ask: Callable[[Session], object], table: str = "jobs"
) -> list[str]:
    """Return SQLite's query plan of every statement on jobs, one line per step."""
    asked: list[tuple[str, Any]] = []

    def note(*args: Any) -> None:  # noqa: ANN401 -- SQLAlchemy's event
        asked.append((args[2], args[3]))

    with database.write() as unit:
        event.listen(database.engine, "before_cursor_execute", note)
        ask(unit.session)
        event.remove(database.engine, "before_cursor_execute", note)
        connection = unit.session.connection()
        return [
            str(step[3])
            for statement, parameters in asked
            if f" {table}" in statement and not statement.startswith("INSERT")
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


class TestClaim:
    def test_a_claim_reads_only_waiting_jobs(self, sqlite: Database, rows: Rows) -> None:
        a_job(sqlite, rows)

        plans = plans_of(
            sqlite, lambda session: claim_job(session, OFFER, lease=timedelta(seconds=90))
        )

        assert any("USING INDEX ix_jobs_waiting" in step for step in plans)
        assert not any(step.startswith("SCAN jobs") for step in plans)


class TestOccupants:
    @pytest.mark.parametrize("worker_id", [None, "wrk_1"])
    def test_running_jobs_are_found_among_running_jobs(
        self, sqlite: Database, worker_id: str | None
    ) -> None:
        plans = plans_of(sqlite, lambda session: occupants(session, worker_id))

        assert any("jobs USING INDEX ix_jobs_running" in step for step in plans)


class TestQueues:
    def test_waiting_jobs_are_not_read_to_be_counted(self, sqlite: Database, rows: Rows) -> None:
        plans = plans_of(sqlite, lambda session: queue_counts(session, [rows.project_id]))

        of_jobs = [step for step in plans if "jobs" in step]
        assert of_jobs
        assert all("ix_jobs_running" in step for step in of_jobs)


class TestPositions:
    def test_a_position_is_counted_among_waiting_jobs(self, sqlite: Database, rows: Rows) -> None:
        job = job_row(sqlite, a_job(sqlite, rows))

        plans = plans_of(sqlite, lambda session: queue_position(session, job))

        lane = "queue=? AND priority=? AND project_id=? AND owner_id=? AND id<?"
        assert f"SEARCH jobs USING INDEX ix_jobs_waiting ({lane})" in plans


class TestAlike:
    def test_past_jobs_of_a_model_are_found_by_what_they_have_in_common(
        self, sqlite: Database, rows: Rows
    ) -> None:
        plans = plans_of(
            sqlite,
            lambda session: alike_jobs(
                session,
                [rows.project_id],
                architecture="yolo26n.yaml",
                imgsz=640,
                devices=["cpu"],
            ),
        )

        alike = "ix_jobs_alike (architecture=? AND imgsz=? AND device_name=?)"
        assert any(alike in step for step in plans)
        assert not any("SCAN jobs" in step for step in plans)


class TestEvents:
    @pytest.mark.parametrize(
        ("chosen", "index"),
        [
            (EventFilter(types=("job.*", "trainer.warning"), newest_first=True), "but_epochs"),
            (EventFilter(level=Level.WARNING), "but_epochs"),
            (EventFilter(types=("epoch.finished",)), "events_1"),
            (EventFilter(newest_first=True), "events_1"),
        ],
        ids=["rare types", "warnings", "epochs", "newest"],
    )
    def test_a_page_of_events_is_read_in_the_order_of_an_index(
        self, sqlite: Database, rows: Rows, chosen: EventFilter, index: str
    ) -> None:
        job_id = a_job(sqlite, rows)

        plans = plans_of(
            sqlite,
            lambda session: events_page(session, job_id, chosen, after=3, limit=50),
            table="events",
        )

        assert len(plans) == 1, "a second step would be a sort"
        assert plans[0].startswith("SEARCH events USING INDEX")
        assert index in plans[0]


class TestPlaces:
    def test_the_places_of_a_page_are_counted_among_waiting_jobs(
        self, sqlite: Database, rows: Rows
    ) -> None:
        job = job_row(sqlite, a_job(sqlite, rows))

        plans = plans_of(
            sqlite, lambda session: places_of(session, [job], lanes_around(session, [job]))
        )

        lane = "queue=? AND priority=? AND project_id=? AND owner_id=? AND id<?"
        assert f"SEARCH jobs_1 USING INDEX ix_jobs_waiting ({lane})" in plans
