"""Units of work, the database's clock and column types, on both databases."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import case, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, StatementError

from app.accounts.tables import Project
from app.artifacts.tables import CondemnedObject
from app.core.database import Database, ExcludedRow, database_now, upsert
from app.core.ids import new_id
from app.core.postgres import IDLE_TRANSACTION_SECONDS

THREADS = 16
UNITS_PER_THREAD = 200


def add_project(database: Database, name: str) -> str:
    project_id = new_id("prj")
    with database.write() as unit:
        unit.session.execute(
            insert(Project).values(id=project_id, name=name, created_at=database_now())
        )
    return project_id


def a_row(name: str | None) -> dict[str, object]:
    """Return a project's row; a row without a name violates a constraint."""
    return {"id": new_id("prj"), "name": name, "created_at": datetime.now(UTC)}


def project_names(database: Database) -> list[str]:
    with database.read() as unit:
        return list(unit.session.scalars(select(Project.name).order_by(Project.name)))


class TestWrite:
    def test_a_block_that_ends_is_committed(self, database: Database) -> None:
        add_project(database, "kept")

        assert project_names(database) == ["kept"]

    def test_a_block_that_raises_leaves_nothing(self, database: Database) -> None:
        with pytest.raises(IntegrityError), database.write() as unit:
            unit.session.execute(insert(Project), [a_row("lost"), a_row(None)])

        assert project_names(database) == []

    def test_callbacks_run_once_the_commit_is_visible_to_others(self, database: Database) -> None:
        seen: list[list[str]] = []

        with database.write() as unit:
            unit.after_commit(lambda: seen.append(project_names(database)))
            unit.session.execute(
                insert(Project).values(id="prj_1", name="kept", created_at=database_now())
            )

        assert seen == [["kept"]]

    def test_a_rollback_drops_the_callbacks(self, database: Database) -> None:
        rung: list[str] = []

        def ring_and_fail() -> None:
            with database.write() as unit:
                unit.after_commit(lambda: rung.append("bell"))
                unit.session.execute(insert(Project), [a_row(None)])

        with pytest.raises(IntegrityError):
            ring_and_fail()

        assert rung == []

    @pytest.mark.slow
    def test_sixteen_threads_that_read_and_then_write_all_succeed(self, sqlite_url: str) -> None:
        database = Database(sqlite_url, pool_size=THREADS)
        project_id = add_project(database, "0")
        errors: list[BaseException] = []

        def count_up() -> None:
            try:
                for _ in range(UNITS_PER_THREAD):
                    with database.write() as unit:
                        present = unit.session.scalars(
                            select(Project.name).where(Project.id == project_id)
                        ).one()
                        unit.session.execute(
                            update(Project)
                            .where(Project.id == project_id)
                            .values(name=str(int(present) + 1))
                        )
            except BaseException as error:  # noqa: BLE001 -- handed to the main thread
                errors.append(error)

        threads = [threading.Thread(target=count_up) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert errors == []
        assert project_names(database) == [str(THREADS * UNITS_PER_THREAD)]
        database.dispose()

    def test_two_processes_worth_of_engines_take_turns_on_sqlite(
        self, sqlite_url: str, open_database: Callable[[str], Database]
    ) -> None:
        first, second = open_database(sqlite_url), open_database(sqlite_url)
        done = threading.Event()

        def write_later() -> None:
            add_project(second, "b")
            done.set()

        with first.write() as unit:
            unit.session.execute(
                insert(Project).values(id="prj_a", name="a", created_at=database_now())
            )
            other = threading.Thread(target=write_later)
            other.start()
            assert not done.wait(0.2)
        other.join()

        assert project_names(first) == ["a", "b"]


class TestRead:
    def test_a_read_is_one_snapshot_whatever_is_committed_meanwhile(
        self, database: Database
    ) -> None:
        add_project(database, "before")
        with database.read() as unit:
            names = select(Project.name)
            first = unit.session.scalars(names).all()

            add_project(database, "meanwhile")

            assert unit.session.scalars(names).all() == first


def due_of(database: Database) -> dict[str, datetime]:
    with database.read() as unit:
        return {row.sha256: row.due_at for row in unit.session.scalars(select(CondemnedObject))}


class TestUpsert:
    OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    def put(self, database: Database, *rows: dict[str, object]) -> None:
        with database.write() as unit:
            unit.session.execute(upsert(unit.session, CondemnedObject, rows, key=("sha256",)))

    def test_a_row_whose_key_is_new_is_inserted(self, database: Database) -> None:
        self.put(database, {"sha256": "a", "due_at": self.OLD})

        assert due_of(database) == {"a": self.OLD}

    def test_rows_whose_key_exists_are_updated_among_many(self, database: Database) -> None:
        self.put(database, {"sha256": "a", "due_at": self.OLD})

        self.put(database, {"sha256": "a", "due_at": self.NEW}, {"sha256": "b", "due_at": self.OLD})

        assert due_of(database) == {"a": self.NEW, "b": self.OLD}

    def test_the_update_decides_from_the_row_that_is_there(self, database: Database) -> None:
        self.put(database, {"sha256": "a", "due_at": self.NEW})
        row = {"sha256": "a", "due_at": self.OLD}

        def later(new: ExcludedRow) -> dict[str, object]:
            there = CondemnedObject.due_at
            return {"due_at": case((new.due_at > there, new.due_at), else_=there)}

        with database.write() as unit:
            unit.session.execute(
                upsert(unit.session, CondemnedObject, row, key=("sha256",), update=later)
            )

        assert due_of(database) == {"a": self.NEW}

    def test_the_row_that_is_there_is_returned_with_what_the_update_left_alone(
        self, database: Database
    ) -> None:
        project_id = add_project(database, "ours")
        row = {"id": project_id, "name": "theirs", "created_at": self.OLD}

        with database.write() as unit:
            statement = upsert(
                unit.session, Project, row, key=("id",), update=lambda new: {"name": new.name}
            )
            project = unit.session.scalars(statement.returning(Project)).one()

        assert (project.id, project.name) == (project_id, "theirs")
        assert project.created_at > self.OLD

    def test_concurrent_inserts_of_the_same_key_all_succeed(self, database: Database) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(
                threads.map(
                    lambda n: self.put(
                        database, {"sha256": "a", "due_at": self.OLD + timedelta(seconds=n)}
                    ),
                    range(16),
                )
            )

        assert list(due_of(database)) == ["a"]


class TestErrors:
    def test_the_text_of_a_database_error_leaves_out_the_parameters(
        self, database: Database
    ) -> None:
        with pytest.raises(IntegrityError) as refused, database.write() as unit:
            unit.session.execute(insert(Project), [{**a_row(None), "id": "hunter2"}])

        assert "[parameters: (" not in str(refused.value)


class TestSqlite:
    def test_a_commit_survives_a_power_cut(self, sqlite_url: str) -> None:
        database = Database(sqlite_url)

        with database.engine.connect() as connection:
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
            synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()

        assert (journal, synchronous) == ("wal", 2)
        database.dispose()


class TestPostgres:
    def test_a_frozen_process_does_not_keep_its_rows_locked(
        self, postgres_url: str, open_database: Callable[[str], Database]
    ) -> None:
        with open_database(postgres_url).read() as unit:
            kept = unit.session.scalars(text("SHOW idle_in_transaction_session_timeout")).one()

        assert kept == f"{IDLE_TRANSACTION_SECONDS}s"


class TestClock:
    def test_an_offset_shifts_the_databases_time(self, database: Database) -> None:
        minute = timedelta(seconds=60)

        with database.read() as unit:
            now, later = unit.session.execute(select(database_now(), database_now(minute))).one()

        assert abs((later - now) - minute) < timedelta(seconds=1)

    def test_stored_times_compare_with_the_clock(self, database: Database) -> None:
        add_project(database, "old")

        with database.read() as unit:
            newer = unit.session.scalar(
                select(func.count())
                .select_from(Project)
                .where(Project.created_at > database_now(timedelta(seconds=-60)))
            )
            older = unit.session.scalar(
                select(func.count())
                .select_from(Project)
                .where(Project.created_at > database_now(timedelta(seconds=60)))
            )

        assert (newer, older) == (1, 0)

    def test_times_come_back_in_utc(self, database: Database) -> None:
        add_project(database, "now")

        with database.read() as unit:
            created_at = unit.session.scalars(select(Project.created_at)).one()

        assert created_at.tzinfo is UTC
        assert abs(created_at - datetime.now(UTC)) < timedelta(minutes=5)

    def test_a_time_without_its_zone_is_refused(self, database: Database) -> None:
        naive = datetime(2026, 1, 1)  # noqa: DTZ001 -- what is refused

        with pytest.raises(StatementError), database.write() as unit:
            unit.session.execute(insert(Project).values(id="p", name="p", created_at=naive))
