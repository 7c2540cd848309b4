"""The collector finds its rows by an index, however many jobs and objects exist."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Column, Table, UniqueConstraint, event
from sqlalchemy.orm import Session

from app.core.database import Database, database_now
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.ops.garbage import due_objects, named
from app.ops.retention import (
    UploadRetention,
    count_unused_uploads,
    delete_expired_rows,
    jobs_with_outdated_states,
    purge_job,
    remove_unused_uploads,
    trashed_jobs,
)
from app.tables import METADATA
from tests.worlds.rows import a_job, some_rows

DAY = timedelta(days=1)


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.dispose()


def scans(database: Database, ask: Callable[[], object]) -> list[str]:
    """Return the steps of SQLite's query plans that scan every row of a growing table."""
    asked: list[tuple[str, Any]] = []

    def note(*args: Any) -> None:  # noqa: ANN401 -- SQLAlchemy's event
        asked.append((args[2], args[3]))

    event.listen(database.engine, "before_cursor_execute", note)
    ask()
    event.remove(database.engine, "before_cursor_execute", note)
    with database.read() as unit:
        connection = unit.session.connection()
        steps = [
            str(step[3])
            for statement, parameters in asked
            if statement.startswith(("SELECT", "DELETE", "UPDATE"))
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert any("USING" in step for step in steps)
    return [step for step in steps if step in {f"SCAN {table}" for table in METADATA.tables}]


def reading(database: Database, ask: Callable[[Session], object]) -> Callable[[], object]:
    def read() -> None:
        with database.read() as unit:
            ask(unit.session)

    return read


class TestQuestions:
    def test_the_query_for_references_of_bytes_uses_indexes(self, sqlite: Database) -> None:
        digests = [f"{number:064}" for number in range(500)]

        assert scans(sqlite, reading(sqlite, lambda session: named(session, digests))) == []

    @pytest.mark.parametrize(
        "ask",
        [
            pytest.param(lambda session: due_objects(session, limit=100), id="due"),
            pytest.param(lambda session: trashed_jobs(session, after=DAY, limit=9), id="trashed"),
            pytest.param(
                lambda session: jobs_with_outdated_states(session, after=DAY, limit=9), id="states"
            ),
            pytest.param(
                lambda session: count_unused_uploads(session, UploadRetention(DAY, DAY)),
                id="uploads",
            ),
        ],
    )
    def test_queries_for_due_rows_use_indexes(
        self, sqlite: Database, ask: Callable[[Session], object]
    ) -> None:
        assert scans(sqlite, reading(sqlite, ask)) == []

    def test_the_query_for_expired_rows_uses_indexes_but_for_keys(self, sqlite: Database) -> None:
        found = scans(sqlite, lambda: delete_expired_rows(sqlite, grace=DAY))

        assert set(found) <= {"SCAN api_keys"}, "few, for every person"

    def test_the_removal_of_unused_uploads_uses_indexes(self, sqlite: Database) -> None:
        some_rows(sqlite)
        now = UploadRetention(-DAY, -DAY)

        assert scans(sqlite, lambda: remove_unused_uploads(sqlite, now, grace=DAY)) == []

        with sqlite.read() as unit:
            assert count_unused_uploads(unit.session, now) == 0

    def test_the_purge_of_a_job_uses_indexes(self, sqlite: Database) -> None:
        rows = some_rows(sqlite)
        old = a_job(sqlite, rows, state=JobState.FAILED, trashed_at=database_now(-2 * DAY))

        assert scans(sqlite, lambda: purge_job(sqlite, old, after=DAY, grace=DAY)) == []

        with sqlite.read() as unit:
            assert unit.session.get(Job, old) is None


class TestForeignKeys:
    def test_every_foreign_key_to_a_job_has_an_index(self) -> None:
        """The database needs the index to delete a job, so a partial index is not enough."""
        jobs = METADATA.tables[Job.__tablename__]
        unindexed = [
            f"{table.name}.{column.name}"
            for table in METADATA.tables.values()
            for column in table.columns
            if any(key.references(jobs) for key in column.foreign_keys)
            if column not in first_columns(table)
        ]

        assert unindexed == []


def first_columns(table: Table) -> set[Column[Any]]:
    """Return the first column of each index of all rows: keys and unique constraints have one."""
    unique = [each.columns for each in table.constraints if isinstance(each, UniqueConstraint)]
    whole = [
        each.columns for each in table.indexes if each.dialect_options["sqlite"]["where"] is None
    ]
    return {columns.values()[0] for columns in (table.primary_key.columns, *unique, *whole)}
