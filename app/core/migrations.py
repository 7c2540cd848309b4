"""Migrate a database to the newest revision, and check which revision it has.

Alembic owns the schema on both databases. Its scripts are in `app/_alembic` in an installed wheel
and in `alembic/` in a checkout; they are located relative to this file, never to the working
directory.
"""

import logging
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, make_url, select

from app.core.database import Database
from app.core.errors import Conflict
from app.core.files import private_folder
from app.core.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

ADVISORY_LOCK_KEY = 0x7472_6169_6E79_6172
"""Key of the lock that migrating processes take on PostgreSQL: "trainyar" as a number."""

log = get_logger(__name__)
# Alembic logs the kind of database at INFO on every check; this module logs each migration itself.
logging.getLogger("alembic").setLevel(logging.WARNING)


class SchemaIsNewer(Conflict):
    """A later release has migrated the database."""

    slug, title = "schema-is-newer", "The database is newer than this release"


def head_revision() -> str:
    """Return the revision that this release requires."""
    return _scripts().get_current_head() or "base"


def current_revision(database: Database) -> str | None:
    """Return the current revision of the database; None before the first migration."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_current(database: Database) -> bool:
    """Return whether the database has the revision that this release requires.

    The readiness check calls this.
    """
    return current_revision(database) == head_revision()


def is_known_revision(revision: str) -> bool:
    """Return whether this release has the migration to `revision`."""
    return any(script.revision == revision for script in _scripts().walk_revisions())


def upgrade(url: str) -> str:
    """Migrate the database at `url` to the newest revision in one transaction; return the revision.

    Processes that migrate at the same time take turns; the later ones do nothing.

    Raises:
        SchemaIsNewer: the database has a revision that this release does not know.
    """
    with _migrating_connection(url) as connection:
        previous = _known_revision(connection)
        command.upgrade(_config(connection), "head")
    if previous != head_revision():
        log.info("database.migrated", from_revision=previous, to_revision=head_revision())
    return head_revision()


@contextmanager
def _migrating_connection(url: str) -> "Iterator[Connection]":
    """Open a connection with a transaction that excludes other migrating processes."""
    if make_url(url).get_backend_name() == "sqlite":
        _make_parent_folder(url)
    database = Database(url, pool_size=1, patient=True)
    engine = database.engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
    try:
        with engine.connect() as connection:
            if database.is_sqlite:
                # Rebuilding a table drops the old one, and the deletion would cascade to the tables
                # that reference it. The pragma has no effect inside a transaction.
                _pragma_foreign_keys_off(connection)
            with connection.begin():
                if not database.is_sqlite:
                    connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK_KEY)))
                yield connection
    finally:
        database.dispose()


def _make_parent_folder(url: str) -> None:
    path = make_url(url).database
    if path and path != ":memory:":
        private_folder(Path(path).parent)


def _pragma_foreign_keys_off(connection: "Connection") -> None:
    connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")


def _known_revision(connection: "Connection") -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and not is_known_revision(current):
        raise SchemaIsNewer(
            f"The database is at revision {current!r}, which this release does not know "
            f"(its newest is {head_revision()!r}); run the release that migrated it or a later one."
        )
    return current


def _config(connection: "Connection") -> Config:
    config = Config()
    config.set_main_option("script_location", str(_script_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_script_folder()))


def _script_folder() -> Path:
    package = Path(__file__).resolve().parents[1]
    installed = package / "_alembic"
    return installed if installed.is_dir() else package.parent / "alembic"
