"""Lists of 100,000 jobs read few of them, whatever their filters and their order are.

On SQLite, the steps of its virtual machine are counted, on PostgreSQL the rows that each node of a
plan returns: a filter that is checked job by job shows in no plan.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from app.core.database import Database
from app.jobs.listing.filters import FEW, JobFilter, Scope
from app.jobs.listing.orders import JobOrder
from app.jobs.listing.pages import listed_page
from app.jobs.listing.readers import EXAMINED, ListReader
from app.jobs.listing.state_counts import EXAMINED as COUNTED
from app.jobs.listing.state_counts import state_counts
from app.jobs.search import search_of
from app.jobs.states import JobState
from tests.databases import shared_database
from tests.jobs.listing.many_jobs import MANY, ManyJobs, add_many_jobs, job_id

MACHINE_STEPS = 1_000
"""SQLite reports its steps in this unit."""
LARGE = ("jobs", "job_words", "job_tags")
TRASHED = MANY // 10
FIRST_STEPS = 20
"""For a page that an index has in its order: three statements and 50 rows."""
MOST_STEPS = 1_000
"""For 12,000 jobs, each with the four filters of `much and none`."""
LATE = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=MANY * 0.85)
VERY_LATE = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=MANY * 0.9 - 1_000)

INDEXED = {
    "all": (JobFilter(), "created"),
    "all by end": (JobFilter(), "ended"),
    "all by name": (JobFilter(), "name"),
    "state": (JobFilter(states=(JobState.FAILED,)), "created"),
    "rare state": (JobFilter(states=(JobState.PAUSED,)), "created"),
    "states": (JobFilter(states=(JobState.FAILED, JobState.QUEUED)), "created"),
    "state by end": (JobFilter(states=(JobState.FAILED,)), "ended"),
    "state by name": (JobFilter(states=(JobState.FAILED,)), "name"),
    "model": (JobFilter(model="yolo26n.yaml"), "created"),
    "rare model": (JobFilter(model="yolo11x.pt"), "created"),
    "task": (JobFilter(task="pose"), "created"),
    "queue": (JobFilter(queue="slow"), "created"),
    "created after": (JobFilter(created_after=LATE), "created"),
    "ended after by end": (JobFilter(ended_after=LATE), "ended"),
    "name by name": (JobFilter(name_prefix="night"), "name"),
    "metric by best": (JobFilter(best_metric="fitness"), "best"),
    "rare metric by best": (JobFilter(best_metric="val/box_loss"), "best"),
    "trash": (JobFilter(in_trash=True), "created"),
    "trash by name": (JobFilter(in_trash=True), "name"),
    "trash by end": (JobFilter(in_trash=True), "ended"),
}
"""Filters and orders whose jobs an index has in that order."""
OF_DATASETS = {
    "dataset": (JobFilter(dataset="dataset"), "created"),
    "rare dataset": (JobFilter(dataset="rare_dataset"), "created"),
    "dataset by best": (JobFilter(dataset="dataset"), "best"),
}
BOUNDED = {
    "ids": (JobFilter(ids=tuple(map(job_id, range(1, 201)))), "name"),
    "id": (JobFilter(search=search_of(job_id(17))), "created"),
    "beginning of ids": (JobFilter(search=search_of("job_0000")), "name"),
    "parent": (JobFilter(parent=job_id(7)), "created"),
    "metric": (JobFilter(best_metric="val/box_loss"), "created"),
    "tag": (JobFilter(tags=(("line", "4"),)), "created"),
    "rare tag": (JobFilter(tags=(("rare", "4"),)), "name"),
    "word": (JobFilter(search=search_of("day")), "created"),
    "rare word": (JobFilter(search=search_of("nig")), "created"),
    "words": (JobFilter(search=search_of("shi 17")), "name"),
    "no such word": (JobFilter(search=search_of("dusk")), "created"),
    "words without a common job": (JobFilter(search=search_of("day night")), "created"),
    "word and state": (
        JobFilter(search=search_of("day"), states=(JobState.QUEUED,)), "created",
    ),
    "word and many states": (
        JobFilter(search=search_of("day shift"), states=(JobState.SUCCEEDED,)), "name",
    ),
    "word by best": (JobFilter(search=search_of("shift"), best_metric="fitness"), "best"),
    "model by name": (JobFilter(model="yolo26n.yaml"), "name"),
    "rare model by end": (JobFilter(model="yolo11x.pt"), "ended"),
    "model and task": (JobFilter(model="yolo26n.yaml", task="detect"), "created"),
    "tag and queue": (JobFilter(tags=(("line", "4"),), queue="default"), "created"),
    "name": (JobFilter(name_prefix="day"), "created"),
    "ended after": (JobFilter(ended_after=LATE), "created"),
    "created after by name": (JobFilter(created_after=VERY_LATE), "name"),
    "much and none": (
        JobFilter(tags=(("line", "4"),), search=search_of("day shi 1"), queue="default"), "created",
    ),
    "trash and model": (JobFilter(in_trash=True, model="yolo26n.yaml"), "created"),
    "trash by best": (JobFilter(in_trash=True, best_metric="fitness"), "best"),
}  # fmt: skip
"""Filters that no index has together with the order."""
BOUNDED_OF_DATASETS = {
    "version": (JobFilter(dataset="version"), "created"),
    "version by best": (JobFilter(dataset="version"), "best"),
    "dataset and state by best": (
        JobFilter(dataset="dataset", states=(JobState.FAILED,)), "best",
    ),
    "dataset and word": (JobFilter(dataset="dataset", search=search_of("shift")), "created"),
}  # fmt: skip


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)],
)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    for url in shared_database(request, tmp_path_factory):
        database = Database(url, pool_size=2, patient=True)
        yield database
        database.dispose()


@pytest.fixture(scope="module")
def many(database: Database) -> ManyJobs:
    return add_many_jobs(database)


@contextmanager
def asked_of(database: Database) -> Iterator[list[tuple[str, Any]]]:
    asked: list[tuple[str, Any]] = []

    def note(*args: Any) -> None:  # noqa: ANN401 -- SQLAlchemy's event
        asked.append((args[2], args[3]))

    event.listen(database.engine, "before_cursor_execute", note)
    yield asked
    event.remove(database.engine, "before_cursor_execute", note)


@contextmanager
def steps_of(session: Session) -> Iterator[list[int]]:
    """Count the steps of SQLite's virtual machine; PostgreSQL has none."""
    steps: list[int] = []
    sqlite = session.connection().connection.driver_connection
    if not isinstance(sqlite, sqlite3.Connection):
        yield steps
        return
    sqlite.set_progress_handler(lambda: steps.append(1), MACHINE_STEPS)
    yield steps
    sqlite.set_progress_handler(None, MACHINE_STEPS)


def check_plans(session: Session, asked: list[tuple[str, Any]], *, most: int) -> None:
    """Refuse plans that read a whole table, or more rows than `most`."""
    connection = session.connection()
    for statement, parameters in asked:
        if connection.dialect.name == "sqlite":
            steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            whole = [step[3] for step in steps if step[3].split()[:2] in scans()]
            assert not whole, f"{whole} in {statement}"
        else:
            explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
            (plan,) = connection.exec_driver_sql(explain, parameters).scalars()
            for node in nodes_of((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]):
                is_whole = node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
                read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
                assert not is_whole, f"{node} in {statement}"
                # Where nearly all jobs match, PostgreSQL may take an index without that column.
                assert read * node["Actual Loops"] <= 1.05 * most, f"{node} in {statement}"


def scans() -> list[list[str]]:
    return [["SCAN", name] for name in LARGE]


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes_of(below)


def listed(
    database: Database, many: ManyJobs, filters: JobFilter, key: str, *, most: int
) -> tuple[int, int]:
    """Read a page and check its plans. Return the numbers of jobs and of steps."""
    filters = many.named(filters)
    scope = Scope((many.project_id,), filters.in_trash)
    with database.read() as unit:
        reader = ListReader(unit.session, scope, filters)
        with asked_of(database) as asked, steps_of(unit.session) as steps:
            page = listed_page(unit.session, reader, order=JobOrder(key), after=None, limit=50)
        # PostgreSQL may read all of the trash, which is emptied.
        check_plans(unit.session, asked, most=TRASHED if filters.in_trash else most)
    return len(page.jobs), len(steps)


class TestPages:
    @pytest.mark.parametrize("case", [*INDEXED, *OF_DATASETS])
    def test_a_page_of_an_index_is_read_in_its_order(
        self, database: Database, many: ManyJobs, case: str
    ) -> None:
        filters, key = (INDEXED | OF_DATASETS)[case]

        jobs, steps = listed(database, many, filters, key, most=51 * len(JobState))

        assert jobs == 50
        assert steps <= FIRST_STEPS

    @pytest.mark.parametrize("case", [*BOUNDED, *BOUNDED_OF_DATASETS])
    def test_other_pages_examine_a_bounded_number_of_jobs(
        self, database: Database, many: ManyJobs, case: str
    ) -> None:
        filters, key = (BOUNDED | BOUNDED_OF_DATASETS)[case]

        _, steps = listed(database, many, filters, key, most=EXAMINED + FEW)

        assert steps <= MOST_STEPS

    def test_several_projects_are_read_side_by_side(
        self, database: Database, many: ManyJobs
    ) -> None:
        scope = Scope((many.project_id, "prj_none", "prj_other"), in_trash=False)
        with database.read() as unit:
            reader = ListReader(unit.session, scope, JobFilter())
            with asked_of(database) as asked, steps_of(unit.session) as steps:
                for key in ("created", "ended", "name"):
                    order = JobOrder(key)
                    listed_page(unit.session, reader, order=order, after=None, limit=50)
            check_plans(unit.session, asked, most=51 * 3 * len(JobState))

        assert len(steps) <= 3 * FIRST_STEPS


class TestCounts:
    @pytest.mark.parametrize("case", [*INDEXED, *OF_DATASETS, *BOUNDED, *BOUNDED_OF_DATASETS])
    def test_counting_examines_a_bounded_number_of_jobs(
        self, database: Database, many: ManyJobs, case: str
    ) -> None:
        filters, _ = (INDEXED | OF_DATASETS | BOUNDED | BOUNDED_OF_DATASETS)[case]
        filters = many.named(filters)
        scope = Scope((many.project_id,), filters.in_trash)

        with database.read() as unit:
            reader = ListReader(unit.session, scope, replace(filters, states=()))
            with asked_of(database) as asked, steps_of(unit.session) as steps:
                state_counts(unit.session, reader)
            check_plans(unit.session, asked, most=COUNTED + 1)

        assert len(steps) <= MOST_STEPS

    def test_the_whole_list_is_counted_by_counters(
        self, database: Database, many: ManyJobs
    ) -> None:
        with database.read() as unit:
            reader = ListReader(
                unit.session, Scope((many.project_id,), in_trash=False), JobFilter()
            )
            counts = state_counts(unit.session, reader)
            counted = text("SELECT state, COUNT(*) FROM jobs WHERE trashed_at IS NULL GROUP BY 1")
            expected: dict[str, int] = dict(unit.session.execute(counted).all())

        assert {state: n for state, n in counts.numbers.items() if n} == expected
        assert counts.capped == ()
