"""How many connections the limit of open files allows."""

import resource
from typing import Final

from app.core.logging import get_logger

log = get_logger(__name__)

WANTED_FILES: Final = 65_536
MOST_CONNECTIONS: Final = 10_000
FEWEST_CONNECTIONS: Final = 16
RESERVED_FILES: Final = 256
FILES_OF_A_REQUEST: Final = 6
"""Of a request in a thread: SQLite's database, WAL and index, or a socket; files of the store."""


def raise_file_limit() -> int:
    """Raise the soft limit of open files as far as the hard limit allows; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    wanted = WANTED_FILES if hard == infinite else min(WANTED_FILES, hard)
    if soft != infinite and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return WANTED_FILES if soft == infinite else soft


def connection_limit(maximum: int | None, *, files: int, request_threads: int) -> int:
    """Return how many connections there may be, so that requests can still open files.

    Args:
        maximum: the setting `connections.maximum`.
        files: the process's limit of open files.
        request_threads: the number of requests that run at the same time.
    """
    reserve = RESERVED_FILES + FILES_OF_A_REQUEST * request_threads
    possible = max(files - reserve, FEWEST_CONNECTIONS)
    if maximum is not None and maximum > possible:
        log.warning("connections.limited", maximum=possible, wanted=maximum, open_files=files)
    return min(possible, MOST_CONNECTIONS if maximum is None else maximum)
