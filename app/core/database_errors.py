"""What to tell an operator when a program cannot use its database: one line with the cure."""

import re
import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.configuration import BadConfiguration
from app.core.database import OUTAGE
from app.core.errors import Unavailable
from app.core.logging import first_line

VARIABLE: Final = "database_url (TRAINYARD_DATABASE_URL)"
MIGRATE: Final = "run `trainyard migrate` with the same settings first"

_REFUSED: Final = re.compile(
    r"password authentication failed|no password supplied|authentication method|pg_hba\.conf"
    r"|role \".*\" (?:does not exist|is not permitted)|permission denied|does not support SSL"
    r"|database \".*\" does not exist|certificate"
)
"""Messages of PostgreSQL and libpq about logins that will be refused again. A login that fails has
no SQLSTATE in psycopg 3.3 (generators.py:94)."""

_NO_TABLE: Final = "42P01"
_NO_PRIVILEGE: Final = "42501"
_UNUSABLE_FILES: Final = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
)
_PRIMARY_CODE: Final = 0xFF
"""The low byte of SQLite's extended error codes."""


class DatabaseUnreachable(Unavailable):
    """The database does not respond now, but may do so later."""

    slug, title = "database-unreachable", "The database is unreachable"


def explained(error: SQLAlchemyError) -> BadConfiguration | DatabaseUnreachable | None:
    """Return the error for the operator, or None if the statement and not the database is at fault.

    The message has the driver's first line, which names host, user and database. It contains no
    password: `database_url` is refused where a driver could take a part of it for the host.
    """
    if not isinstance(error, DBAPIError):
        return DatabaseUnreachable(f"{VARIABLE}: {first_line(error)}")
    cause = error.orig
    state = getattr(cause, "sqlstate", None)
    reason = " ".join(str(cause).split("\n")[0].split())
    if state == _NO_TABLE or reason.startswith("no such table"):
        return BadConfiguration(f"{VARIABLE}: the database has no tables; {MIGRATE}")
    if state == _NO_PRIVILEGE or _REFUSED.search(str(cause)) or _is_unusable_file(cause):
        return BadConfiguration(f"{VARIABLE}: {reason}")
    if isinstance(error, OUTAGE):
        return DatabaseUnreachable(f"{VARIABLE}: {reason}")
    return None


def _is_unusable_file(cause: BaseException | None) -> bool:
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY_CODE in _UNUSABLE_FILES
