"""Reading the event log: its order, its positions, and the rows of some projects."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, text, update
from sqlalchemy.orm import Session

from app.core.database import Database
from app.core.pages import CursorSeal
from app.events import log
from app.events.log import LogPosition, PositionSeal
from app.events.tables import EventLog, EventRow
from tests.counting import statements_to
from tests.events.log_rows import append, newest, page, seqs
from tests.worlds.rows import Rows, a_job, some_rows

pytestmark = pytest.mark.integration

SEAL = PositionSeal(CursorSeal(b"a secret"))


@pytest.fixture
def job_id(database: Database, rows: Rows) -> str:
    """Return a job without events."""
    made = a_job(database, rows)
    with database.write() as unit:
        unit.session.execute(delete(EventRow))
    return made


def of_another_project(database: Database) -> tuple[str, str]:
    """Return the id of another project, and a job in it that has no events."""
    other = some_rows(database, name="other")
    made = a_job(database, other)
    with database.write() as unit:
        unit.session.execute(delete(EventRow).where(EventRow.job_id == made))
    return other.project_id, made


class TestReadLog:
    def test_a_reader_continues_where_it_stopped(self, database: Database, job_id: str) -> None:
        append(database, job_id, 1, 2)
        append(database, job_id, 3)

        first = page(database, limit=2)
        second = page(database, first.sealed_to, limit=2)

        assert (seqs(first), first.has_more) == ([1, 2], True)
        assert (seqs(second), second.has_more) == ([3], False)
        assert not page(database, second.sealed_to).rows

    def test_a_row_has_its_project_and_its_data(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        append(database, job_id, 1)

        (row,) = page(database).rows

        assert (row.project_id, row.job_id, row.dataset_id) == (rows.project_id, job_id, None)
        assert (row.type, row.level, row.data) == ("job.changed", "info", {"n": 1})

    def test_a_row_of_an_earlier_release_has_the_project_of_its_job(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        append(database, job_id, 1)
        with database.write() as unit:
            unit.session.execute(update(EventRow).values(project_id=None))

        (row,) = page(database, projects=(rows.project_id,)).rows

        assert row.project_id == rows.project_id

    def test_the_rows_of_other_projects_are_left_out_and_passed(
        self, database: Database, rows: Rows, job_id: str
    ) -> None:
        other, job_of_other = of_another_project(database)
        append(database, job_id, 1)
        append(database, job_of_other, 1, 2)

        own = page(database, projects=(rows.project_id,))

        assert [row.job_id for row in own.rows] == [job_id]
        assert (own.sealed_to, own.has_more) == (newest(database), False)
        assert seqs(page(database, projects=(other,))) == [1, 2]
        assert not page(database, projects=()).rows

    def test_one_read_looks_at_a_bounded_number_of_rows_of_other_projects(
        self, database: Database, rows: Rows, job_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, job_of_other = of_another_project(database)
        append(database, job_of_other, 1, 2, 3, 4, 5)
        append(database, job_id, 1)
        monkeypatch.setattr(log, "SCANNED_AT_ONCE", 5)

        first = page(database, projects=(rows.project_id,))
        second = page(database, first.sealed_to, projects=(rows.project_id,))

        assert (seqs(first), first.has_more) == ([], True)
        assert (seqs(second), second.has_more) == ([1], False)

    def test_the_rows_of_a_deleted_job_are_gone(self, database: Database, job_id: str) -> None:
        append(database, job_id, 1)
        before = page(database)

        with database.write() as unit:
            unit.session.execute(text("DELETE FROM jobs"))

        after = page(database, before.sealed_to)
        assert (seqs(page(database)), after.gap) == ([], False)


class TestPositions:
    def test_a_sealed_position_opens_to_the_same_position(
        self, database: Database, job_id: str
    ) -> None:
        append(database, job_id, 1)
        at = newest(database)

        opened = SEAL.open(SEAL.seal(at))

        assert opened == at
        assert opened is not None
        assert opened.generation == at.generation != ""

    @pytest.mark.parametrize("text", ["", "x", "0" * 2000, "%00"])
    def test_a_text_that_is_no_position_opens_to_none(self, text: str) -> None:
        assert SEAL.open(text) is None

    def test_a_position_of_another_instance_opens_to_none(self) -> None:
        sealed = PositionSeal(CursorSeal(b"another secret")).seal(LogPosition(1, 1, "a"))

        assert SEAL.open(sealed) is None

    def test_a_position_of_another_generation_has_a_gap(
        self, database: Database, job_id: str
    ) -> None:
        append(database, job_id, 1, 2)
        earlier = page(database, limit=1).sealed_to
        with database.write() as unit:
            unit.session.execute(update(EventLog).values(generation="another"))

        read = page(database, earlier)

        assert (read.gap, seqs(read)) == (True, [])
        assert (read.sealed_to, read.sealed_to.generation) == (newest(database), "another")

    def test_a_position_ahead_of_the_log_has_a_gap(self, database: Database, job_id: str) -> None:
        append(database, job_id, 1)
        at = newest(database)
        ahead = replace(at, transaction_id=at.transaction_id and 2**60, position=2**60)

        assert page(database, ahead).gap

    def test_a_position_of_a_deleted_row_has_no_gap(self, database: Database, job_id: str) -> None:
        append(database, job_id, 1, 2)
        at = newest(database)
        with database.write() as unit:
            unit.session.execute(delete(EventRow))
        append(database, job_id, 3)

        read = page(database, at)

        assert (read.gap, seqs(read)) == (False, [3])

    def test_an_empty_log_has_a_position_to_start_from(
        self, database: Database, job_id: str
    ) -> None:
        start = newest(database)
        append(database, job_id, 1)

        assert seqs(page(database, start)) == [1]


class TestStatements:
    @pytest.mark.parametrize(("is_new", "of_projects", "number"), [(0, 1, 1), (1, 0, 2), (1, 1, 3)])
    def test_a_read_runs_at_most_three_statements(
        self,
        database: Database,
        rows: Rows,
        job_id: str,
        is_new: int,
        of_projects: int,
        number: int,
    ) -> None:
        append(database, job_id, 1)
        after = None if is_new else newest(database)
        projects = (rows.project_id,) if of_projects else None

        with statements_to(database) as statements:
            page(database, after, projects=projects)

        assert len(statements) == number

    def test_an_event_takes_one_statement(self, database: Database, job_id: str) -> None:
        with statements_to(database) as statements:
            append(database, job_id, 1)

        assert statements == ["INSERT events"]

    def test_every_read_uses_the_index(self, database: Database, rows: Rows, job_id: str) -> None:
        append(database, job_id, 1)
        with database.write() as unit:
            _multiply(unit.session, job_id)
        middle = page(database, limit=15_000).sealed_to

        plans = _plans_of_read(database, middle, (rows.project_id,))

        assert len(plans) == 3
        for plan in plans:
            assert "ix_events_transaction_id_position" in plan, plan
            assert "Seq Scan on events" not in plan, plan
            assert "SCAN events\n" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan
            assert "Sort" not in plan, plan


def _multiply(session: Session, job_id: str) -> None:
    """Append 30,000 events to the log, and let the database count them."""
    session.execute(
        text(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) "
            "INSERT INTO events (project_id, job_id, seq, level, type, data, created_at) "
            "SELECT e.project_id, :job, n.i, 'info', 'job.changed', e.data, e.created_at "
            "FROM events e, n WHERE e.seq = 1"
        ),
        {"job": job_id},
    )
    session.execute(text("ANALYZE"))


@contextmanager
def _noted(connection: Connection, seen: list[tuple[str, Any]]) -> Iterator[None]:
    def note(
        _connection: object, _cursor: object, sql: str, parameters: object, *_: object
    ) -> None:
        seen.append((sql, parameters))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", note)


def _plans_of_read(database: Database, after: LogPosition, projects: tuple[str, ...]) -> list[str]:
    """Return the plan of each statement of a read."""
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    seen: list[tuple[str, Any]] = []
    with database.read() as unit:
        connection = unit.session.connection()
        with _noted(connection, seen):
            log.read_log(unit.session, after, project_ids=projects, limit=100)
        return [
            "\n".join(
                str(line[-1]) for line in connection.exec_driver_sql(explain + sql, parameters)
            )
            + "\n"
            for sql, parameters in seen
        ]
