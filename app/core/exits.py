"""How a program of ours ends when an operator has to do something: one line on stderr.

The status is 78 if the configuration has to change, so that a service manager need not start it
again, and 1 if the same command may succeed later.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.configuration import EXIT_BAD_CONFIGURATION, BadConfiguration
from app.core.errors import TrainyardError
from app.core.plain_text import shown_lines

EXIT_FAILURE = 1


@contextmanager
def one_line_for_expected_errors() -> Iterator[None]:
    """End the process with one line on stderr on errors that an operator can fix.

    Raises:
        SystemExit: after the line was written.
    """
    try:
        yield
    except Exception as error:
        found = _expected(error)
        if found is None:
            raise
        raise ended(*found) from None


def ended(reason: str, status: int = EXIT_FAILURE) -> SystemExit:
    """Write the reason to stderr, what people cannot see escaped; return the exit to raise."""
    sys.stderr.write(f"trainyard: {shown_lines(reason)}\n")
    return SystemExit(status)


def _expected(error: Exception) -> tuple[str, int] | None:
    """Return what to tell the operator, and the exit status; None for a failure of ours."""
    match error:
        case BadConfiguration():
            return str(error), EXIT_BAD_CONFIGURATION
        case TrainyardError():
            return error.detail, EXIT_FAILURE
        case OSError(filename=str() | bytes() | os.PathLike() as name):
            return f"{os.fsdecode(name)}: {os.strerror(error.errno or 0).lower()}", EXIT_FAILURE
    if type(error) is LookupError:  # no subclass: those are bugs, whose traceback is needed
        return str(error), EXIT_FAILURE
    found = _of_the_database(error)
    return None if found is None else _expected(found)


def _of_the_database(error: Exception) -> BadConfiguration | TrainyardError | None:
    if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
        return BadConfiguration(
            "database_url (TRAINYARD_DATABASE_URL): names a PostgreSQL, but its driver psycopg is "
            "not installed"
        )
    if "sqlalchemy" not in sys.modules:  # nothing of ours has used a database
        return None
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 -- see above

    from app.core.database_errors import explained  # noqa: PLC0415

    return explained(error) if isinstance(error, SQLAlchemyError) else None
