"""The event log on PostgreSQL: restored into another cluster, and held back by a transaction."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from app.core.database import Database
from app.events.held_back import HeldBackWatch, held_back
from app.events.repository import append_event
from app.events.restored import repair_restored_log
from tests.events.log_rows import append, newest, page, seqs
from tests.worlds.rows import a_job, some_rows

pytestmark = pytest.mark.integration

Open = Callable[[str], Database]


@pytest.fixture
def database(postgres_url: str, open_database: Open) -> Database:
    return open_database(postgres_url)


@pytest.fixture
def job_id(database: Database) -> str:
    """Return a job without events."""
    made = a_job(database, some_rows(database))
    with database.write() as unit:
        unit.session.execute(text("DELETE FROM events"))
    return made


def pretend_another_cluster(database: Database) -> None:
    """Give all rows transaction ids that this cluster reaches much later."""
    with database.write() as unit:
        unit.session.execute(text("UPDATE events SET transaction_id = transaction_id + (1 << 40)"))


class TestRestore:
    def test_a_log_of_another_cluster_is_read_in_the_order_of_its_rows(
        self, database: Database, job_id: str
    ) -> None:
        append(database, job_id, 1, 2)
        append(database, job_id, 3)
        pretend_another_cluster(database)
        hidden = seqs(page(database))

        assert repair_restored_log(database)

        append(database, job_id, 4)
        assert (hidden, seqs(page(database))) == ([], [1, 2, 3, 4])

    def test_positions_of_the_earlier_cluster_have_a_gap(
        self, database: Database, job_id: str
    ) -> None:
        append(database, job_id, 1)
        earlier = newest(database)
        pretend_another_cluster(database)

        repair_restored_log(database)

        assert page(database, earlier).gap
        assert not page(database, newest(database)).gap

    def test_a_log_of_this_cluster_is_left_as_it_is(self, database: Database, job_id: str) -> None:
        append(database, job_id, 1)
        before = newest(database)

        assert not repair_restored_log(database)

        assert newest(database) == before
        assert not page(database, before).gap

    def test_only_one_of_two_servers_repairs_the_log(
        self, database: Database, job_id: str, open_database: Open, postgres_url: str
    ) -> None:
        append(database, job_id, 1)
        pretend_another_cluster(database)

        servers = [database, open_database(postgres_url)]

        assert [repair_restored_log(server) for server in servers] == [True, False]


class TestHeldBack:
    def test_a_row_appears_only_when_no_earlier_transaction_runs(
        self, database: Database, job_id: str
    ) -> None:
        with database.write() as earlier:
            append_event(earlier.session, job_id, 1, "job.changed")
            append(database, job_id, 2)
            during = seqs(page(database))

        assert (during, seqs(page(database))) == ([], [1, 2])

    def test_the_transaction_that_holds_rows_back_is_named(
        self, database: Database, job_id: str
    ) -> None:
        with database.write() as earlier:
            pid = earlier.session.scalar(text("SELECT pg_backend_pid()"))
            append_event(earlier.session, job_id, 1, "job.changed")
            append(database, job_id, 2)
            with database.read() as unit:
                held = held_back(unit.session)

        assert held is not None
        assert held.holder["pid"] == pid
        assert {"application_name", "state", "seconds"} <= held.holder.keys()

    def test_a_transaction_that_holds_nothing_back_is_not_named(
        self, database: Database, job_id: str
    ) -> None:
        append(database, job_id, 1)

        with database.write() as earlier:
            earlier.session.execute(text("SELECT pg_current_xact_id()"))
            with database.read() as unit:
                assert held_back(unit.session) is None

    def test_a_transaction_is_logged_once_when_it_is_there_at_two_looks(
        self, database: Database, job_id: str
    ) -> None:
        watch = HeldBackWatch(database)
        counts = []

        with database.write() as earlier, capture_logs() as logs:
            append_event(earlier.session, job_id, 1, "job.changed")
            append(database, job_id, 2)
            for _ in range(3):
                watch.look()
                counts.append(sum(entry["event"] == "event_log.held_back" for entry in logs))

        assert counts == [0, 1, 1]
