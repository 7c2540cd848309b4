"""How the command ends: one line on stderr, and an exit status that scripts can rely on."""

from typing import Final

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
JOB_FAILED: Final = 3
NO_ACCESS: Final = 4
NOT_FOUND: Final = 5
REFUSED: Final = 6
JOB_CANCELLED: Final = 7
TIMED_OUT: Final = 8
UNREACHABLE: Final = 9
BAD_CONFIGURATION: Final = 78
INTERRUPTED: Final = 130


def told(error: Exception) -> int | None:
    """Write the error to stderr and return the exit status; None for a failure of the program."""
    del error
    return None
