"""The migrations create the declared tables, and revert them, on both databases."""

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    Connection,
    Select,
    delete,
    insert,
    inspect,
    select,
    table,
    text,
    update,
)

from app.accounts.keys import new_key
from app.accounts.repository import NewKey, insert_key
from app.accounts.tables import ApiKey, KeyKind, User
from app.core import migrations
from app.core.database import Database, database_now
from app.datasets.tables import DatasetVersion
from app.jobs.end_reasons import EndReason
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.tables import Lane
from app.tables import METADATA
from tests.core.empty_databases import take_down
from tests.jobs.trained import train
from tests.worlds.rows import a_job, some_rows

pytestmark = pytest.mark.integration

MIGRATE = "import sys; from app.core.migrations import upgrade; upgrade(sys.argv[1])"
PROCESSES = 2


def reflected(url: str) -> dict[str, dict[str, object]]:
    """Return the descriptions of all tables, as the database reports them."""
    database = Database(url, pool_size=1)
    with database.engine.connect() as connection:
        found = {name: description_of(connection, name) for name in table_names(connection)}
    database.dispose()
    return found


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def description_of(connection: Connection, table: str) -> dict[str, object]:
    """Return the database's description of a table, sorted."""
    look = inspect(connection)
    return {
        "columns": sorted(
            (column["name"], str(column["type"]), column["nullable"], str(column["default"]))
            for column in look.get_columns(table)
        ),
        "primary key": look.get_pk_constraint(table),
        "checks": sorted((c["name"], c["sqltext"]) for c in look.get_check_constraints(table)),
        "unique": sorted(
            (c["name"], c["column_names"]) for c in look.get_unique_constraints(table)
        ),
        "foreign keys": sorted(
            (key["name"], key["constrained_columns"], key["referred_table"], str(key["options"]))
            for key in look.get_foreign_keys(table)
        ),
        "indexes": sorted(
            (
                str(index["name"]),
                index["column_names"],
                index["unique"],
                [f"{key}={value}" for key, value in index.get("dialect_options", {}).items()],
            )
            for index in look.get_indexes(table)
        ),
    }


def rows_of(url: str) -> dict[str, list[str]]:
    """Return the rows of every table except that of the migrations.

    A downgrade loses the order of the event log, its generation, and the events of datasets.
    """
    database = Database(url, pool_size=1)
    with database.engine.connect() as connection:
        found = {
            name: sorted(map(repr, connection.execute(rows_of_table(name))))
            for name in table_names(connection) - {"event_log"}
        }
    database.dispose()
    return found


def rows_of_table(name: str) -> Select[Any]:
    if name == "events":
        kept = text("job_id, seq, level, type, data, created_at")
        return select(kept).select_from(table(name)).where(text("job_id IS NOT NULL"))
    return select(text("*")).select_from(table(name))


def a_trained_job(url: str) -> None:
    """Add a job with epochs, attempt, events and checkpoints.

    Its dataset has no training facts: a downgrade drops them, and a server reads them again.
    """
    database = Database(url, pool_size=2)
    train(database, a_job(database, some_rows(database)), (0.1, 0.2), states=(2,))
    with database.write() as unit:
        unit.session.execute(update(DatasetVersion).values(training_facts=None))
    database.dispose()


def forget_uses_of_uploads(url: str) -> None:
    """Remove the time of the migration, from which the uploads of earlier releases are kept."""
    database = Database(url, pool_size=1)
    with database.write() as unit:
        unit.session.execute(update(DatasetVersion).values(upload_used_at=None))
    database.dispose()


def forget_turns(url: str) -> None:
    """Delete the empty lanes, which remember turns until a downgrade."""
    database = Database(url, pool_size=1)
    with database.write() as unit:
        unit.session.execute(delete(Lane).where(Lane.waiting == 0))
    database.dispose()


class TestUpgrade:
    def test_an_upgrade_leaves_nothing_for_autogenerate_to_find(self, empty_url: str) -> None:
        migrations.upgrade(empty_url)

        database = Database(empty_url, pool_size=1)
        with database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, METADATA) == []
        database.dispose()

    def test_an_upgrade_makes_what_the_tables_themselves_would_make(self, empty_url: str) -> None:
        database = Database(empty_url, pool_size=1)
        METADATA.create_all(database.engine)
        by_the_tables = reflected(empty_url)
        METADATA.drop_all(database.engine)
        database.dispose()

        migrations.upgrade(empty_url)

        assert reflected(empty_url) == by_the_tables

    def test_an_upgrade_can_be_reverted_and_repeated(self, database_url: str) -> None:
        first = reflected(database_url)

        take_down(database_url, "base")
        without = reflected(database_url)
        migrations.upgrade(database_url)

        assert (without, reflected(database_url)) == ({}, first)

    def test_an_upgrade_rebuilds_tables_with_all_that_they_and_others_hold(
        self, database_url: str
    ) -> None:
        a_trained_job(database_url)
        forget_turns(database_url)
        before = rows_of(database_url)

        take_down(database_url, "0005_outage")
        migrations.upgrade(database_url)

        forget_uses_of_uploads(database_url)
        assert rows_of(database_url) == before
        assert all(before[name] for name in ("jobs", "attempts", "epochs", "artifacts", "events"))

    def test_a_reverted_upgrade_names_an_end_reason_that_was_known_before(
        self, database_url: str
    ) -> None:
        a_trained_job(database_url)
        database = Database(database_url, pool_size=1)
        with database.write() as unit:
            ended = {"state": JobState.FAILED, "end_reason": EndReason.STATE_LOST}
            unit.session.execute(update(Job).values(**ended))

        take_down(database_url, "0006_training_states")

        with database.read() as unit:
            reasons = unit.session.scalars(text("SELECT end_reason FROM jobs")).all()
        database.dispose()
        assert reasons == ["bad_checkpoint"]

    def test_a_reverted_upgrade_revokes_the_keys_of_disabled_users(self, database_url: str) -> None:
        database = Database(database_url, pool_size=1)
        for user_id in ("usr_1", "usr_2"):
            with database.write() as unit:
                user = {"id": user_id, "name": user_id, "is_admin": False}
                unit.session.execute(insert(User).values(**user, created_at=database_now()))
                key_id = insert_key(
                    unit.session, user_id, new_key(KeyKind.USER), NewKey("a key", ["jobs:read"])
                )
                old = {"key_sha256": None, "secret_sha256": bytes(32)}  # of an earlier release
                unit.session.execute(update(ApiKey).where(ApiKey.id == key_id).values(**old))
        with database.write() as unit:
            disabled = update(User).where(User.id == "usr_2").values(disabled_at=database_now())
            unit.session.execute(disabled)

        take_down(database_url, "0015_stored_findings")

        with database.read() as unit:
            valid = text("SELECT user_id FROM api_keys WHERE revoked_at IS NULL")
            assert unit.session.scalars(valid).all() == ["usr_1"]
        database.dispose()

    def test_the_days_for_which_uploads_are_kept_begin_with_the_migration(
        self, database_url: str
    ) -> None:
        database = Database(database_url, pool_size=1)
        some_rows(database)
        with database.write() as unit:
            old = {"created_at": database_now(-timedelta(days=90))}
            unit.session.execute(update(DatasetVersion).values(old))

        take_down(database_url, "0010_import_options")
        migrations.upgrade(database_url)

        with database.read() as unit:
            begun = select(DatasetVersion.upload_used_at > database_now(-timedelta(hours=1)))
            assert unit.session.scalars(begun).all() == [True]
        database.dispose()

    def test_a_second_time_changes_nothing(self, empty_url: str) -> None:
        first = migrations.upgrade(empty_url)

        assert migrations.upgrade(empty_url) == first

    def test_an_upgrade_by_two_processes_at_once_is_done_once(self, empty_url: str) -> None:
        started = [
            subprocess.Popen([sys.executable, "-c", MIGRATE, empty_url]) for _ in range(PROCESSES)
        ]

        assert [process.wait(60) for process in started] == [0] * PROCESSES

    def test_a_database_of_a_later_release_is_left_alone(self, database_url: str) -> None:
        database = Database(database_url, pool_size=1)
        with database.write() as unit:
            unit.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        database.dispose()

        with pytest.raises(migrations.SchemaIsNewer):
            migrations.upgrade(database_url)

    def test_a_failing_migration_leaves_nothing_half_done(self, empty_url: str) -> None:
        database = Database(empty_url, pool_size=1)
        with database.write() as unit:  # the last table of the migration exists already
            unit.session.execute(text("CREATE TABLE log_chunks (job_id VARCHAR(40))"))
        database.dispose()

        with pytest.raises(Exception, match="log_chunks"):
            migrations.upgrade(empty_url)

        assert reflected(empty_url).keys() == {"log_chunks"}


class TestIsCurrent:
    def test_a_database_is_current_after_its_migration(self, empty_url: str) -> None:
        database = Database(empty_url, pool_size=1)
        before = migrations.is_current(database)

        migrations.upgrade(empty_url)

        assert (before, migrations.is_current(database)) == (False, True)
        database.dispose()


class TestScripts:
    def test_the_migrations_have_one_head(self) -> None:
        assert len(migrations._scripts().get_heads()) == 1
