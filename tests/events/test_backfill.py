"""The migration to one log keeps the events of jobs, and adds the states of datasets."""

from collections.abc import Callable

import pytest
from alembic import command
from sqlalchemy import text

from app.core import migrations
from app.core.database import Database
from tests.events.log_rows import append, newest, page, seqs
from tests.worlds.rows import a_job, some_rows

pytestmark = pytest.mark.integration

BEFORE = "0019_integrity"
OLD_EVENT = (
    "INSERT INTO events (job_id, seq, level, type, data, created_at) "
    "VALUES (:job, :seq, 'info', 'job.changed', '{\"n\": 1}', :at)"
)


def take_down(url: str) -> None:
    with migrations._migrating_connection(url) as connection:
        command.downgrade(migrations._config(connection), BEFORE)


class TestBackfill:
    @pytest.fixture
    def earlier(self, database_url: str, open_database: Callable[[str], Database]) -> Database:
        """Return a database of the release before, with events of two jobs and a dataset."""
        database = open_database(database_url)
        rows = some_rows(database)
        jobs = [a_job(database, rows) for _ in range(2)]
        with database.write() as unit:
            unit.session.execute(
                text("UPDATE dataset_versions SET verified_at = :at"), {"at": _minute(2)}
            )
        database.dispose()
        take_down(database_url)
        with database.write() as unit:
            unit.session.execute(text("DELETE FROM events"))
            for job, seq, minute in ((0, 1, 1), (0, 2, 4), (1, 1, 3), (1, 2, 4)):
                values = {"job": jobs[job], "seq": seq, "at": _minute(minute)}
                unit.session.execute(text(OLD_EVENT), values)
        database.dispose()
        return database

    def test_old_events_and_states_of_datasets_are_in_the_order_of_their_times(
        self, earlier: Database, database_url: str
    ) -> None:
        migrations.upgrade(database_url)

        rows = page(earlier).rows
        assert [(row.type, row.seq) for row in rows] == [
            ("job.changed", 1),
            ("dataset.ready", None),
            ("job.changed", 1),
            ("job.changed", 2),
            ("job.changed", 2),
        ]
        assert len({row.job_id for row in rows[3:]}) == 2
        assert {row.at.transaction_id for row in rows} == {0}
        assert rows[0].data == {"n": 1}
        assert len({row.project_id for row in rows}) == 1
        assert rows[1].version_id is not None

    def test_new_events_come_after_the_old_ones(self, earlier: Database, database_url: str) -> None:
        migrations.upgrade(database_url)
        after = newest(earlier)
        job_id = page(earlier).rows[0].job_id
        assert job_id is not None

        append(earlier, job_id, 3)

        assert seqs(page(earlier, after)) == [3]

    def test_a_release_before_still_appends_to_the_new_log(
        self, earlier: Database, database_url: str
    ) -> None:
        migrations.upgrade(database_url)
        after = newest(earlier)
        old = page(earlier).rows[0]

        with earlier.write() as unit:
            values = {"job": old.job_id, "seq": 3, "at": _minute(5)}
            unit.session.execute(text(OLD_EVENT), values)

        (row,) = page(earlier, after, projects=(old.project_id,)).rows
        assert (row.seq, row.project_id) == (3, old.project_id)


def _minute(number: int) -> str:
    return f"2026-11-30 10:0{number}:00.000"
