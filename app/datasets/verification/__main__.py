"""The process that verifies an uploaded data set: `python -m app.datasets.verification REQUEST`.

It limits itself, reads the archive named in the request, and leaves `report.json` in the output
directory; if the set is ready also `pack.zip` and `manifest.json`. It touches nothing else.
Exit code 0: the report says all; anything else: the verification itself failed.
"""

import errno
import os
import resource
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from app.core.files import write_whole
from app.datasets.archives.findings import Code
from app.datasets.archives.report import (
    PACK_NAME,
    REPORT_NAME,
    ProcessLimits,
    Report,
    VerificationRequest,
    invalid_report,
)
from app.datasets.verification.verify import verify

GRACE_SECONDS: Final = 30
USAGE: Final = 2


class CpuTimeSpentError(Exception):
    """The soft limit on CPU time was reached."""


def main(arguments: list[str]) -> int:
    """Verify what the request file names and write the report."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m app.datasets.verification REQUEST.json\n")
        return USAGE
    request = VerificationRequest.model_validate_json(Path(arguments[0]).read_bytes())
    _limit_this_process(request.process_limits)
    report = _verify_within_limits(request)
    if report.state == "invalid":
        (request.output / PACK_NAME).unlink(missing_ok=True)
    text = report.model_dump_json(indent=1) + "\n"
    write_whole(request.output / REPORT_NAME, text, durable=False)
    return 0


def _limit_this_process(limits: ProcessLimits) -> None:
    """Limit CPU time, memory and file size; memory on top of what the interpreter holds."""
    signal.signal(signal.SIGXCPU, _on_cpu_time_spent)
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + GRACE_SECONDS)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes)
    _lower(resource.RLIMIT_CORE, 0, 0)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        memory = pages * os.sysconf("SC_PAGE_SIZE") + limits.address_space_bytes
        _lower(resource.RLIMIT_AS, memory, memory)


def _lower(kind: int, soft: int, hard: int) -> None:
    """Set a limit, never above the hard limit that the process was given."""
    _, given = resource.getrlimit(kind)
    if given != resource.RLIM_INFINITY:
        soft, hard = min(soft, given), min(hard, given)
    resource.setrlimit(kind, (soft, hard))


def _on_cpu_time_spent(_number: int, _frame: FrameType | None) -> None:
    raise CpuTimeSpentError


def _verify_within_limits(request: VerificationRequest) -> Report:
    limits = request.process_limits
    try:
        return verify(request)
    except MemoryError:
        text = f"More than {limits.address_space_bytes} bytes of memory were needed."
    except CpuTimeSpentError:
        text = f"More than {limits.cpu_seconds} s of CPU time were needed."
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        text = f"The data set is larger than {limits.file_bytes} bytes."
    return invalid_report(Code.VERIFICATION_LIMIT, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
