"""How the command ends: a few lines on stderr, and an exit status that scripts can rely on."""

from typing import Final

from trainyard.command.shared import UnknownJob
from trainyard.command.text import say
from trainyard.configuration import NO_SERVER
from trainyard.errors import (
    AccessError,
    ConfigurationError,
    ConflictError,
    DatasetInvalidError,
    InvalidError,
    JobFailed,
    ModelRefusedError,
    NotFoundError,
    ProblemError,
    QuotaError,
    TrainyardError,
    UnreachableError,
    WaitTimeout,
)
from trainyard.packing import LayoutError

FAILURE: Final = 1
JOB_FAILED: Final = 3
NO_ACCESS: Final = 4
NOT_FOUND: Final = 5
REFUSED: Final = 6
JOB_CANCELLED: Final = 7
TIMED_OUT: Final = 8
UNREACHABLE: Final = 9
BAD_CONFIGURATION: Final = 78
INTERRUPTED: Final = 130

STATUSES: Final[tuple[tuple[type[TrainyardError], int], ...]] = (
    (ConfigurationError, BAD_CONFIGURATION),
    (UnreachableError, UNREACHABLE),
    (WaitTimeout, TIMED_OUT),
    (AccessError, NO_ACCESS),
    (NotFoundError, NOT_FOUND),
    (UnknownJob, NOT_FOUND),
    (ConflictError, REFUSED),
    (InvalidError, REFUSED),
    (QuotaError, REFUSED),
    (LayoutError, REFUSED),
    (DatasetInvalidError, REFUSED),
    (ModelRefusedError, REFUSED),
)
"""The exit status of each kind of error; of others 1."""
ADVICE: Final[dict[int, str]] = {
    NO_ACCESS: "`trainyard login` gets a key; TRAINYARD_API_KEY holds one for scripts.",
    UNREACHABLE: "Is it running? `trainyard up` starts a server on this machine.",
}


def told(error: Exception) -> int | None:
    """Write the error to stderr and return the exit status; None for a failure of the program."""
    if isinstance(error, JobFailed):
        return _told_of_job(error)
    if not isinstance(error, TrainyardError):
        return None
    status = next((code for kind, code in STATUSES if isinstance(error, kind)), FAILURE)
    say(f"trainyard: {error}")
    if str(error) == NO_SERVER:
        say("  `trainyard train --up …` starts one that stays.")
    if status in ADVICE:
        say(f"  {ADVICE[status]}")
    if isinstance(error, ProblemError) and error.request_id and status in {FAILURE, NO_ACCESS}:
        say(f"  request {error.request_id}")
    return status


def _told_of_job(error: JobFailed) -> int:
    if error.log_tail:
        say(error.log_tail.rstrip("\n"))
    say(f"trainyard: {error}")
    return JOB_CANCELLED if error.job.state == "cancelled" else JOB_FAILED
