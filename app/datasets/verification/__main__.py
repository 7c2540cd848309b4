"""The verification process: `python -m app.datasets.verification REQUEST`, run by a server.

It sets its own resource limits, reads the archive named in the request and writes `report.json` to
the output directory. If the version is ready, it also writes `manifest.jsonl`, `overview.bin`, and
`pack.zip` with the list of its files, `packed.jsonl`. Of a pack that an earlier release wrote, it
writes `facts.json`, `manifest.jsonl` and `packed.jsonl`. While it verifies, it replaces
`progress.json`. It writes no other files. With exit code 0 the files are complete; otherwise the
verification failed.
"""

import errno
import os
import resource
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from pydantic import TypeAdapter

from app.core.files import write_whole
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.overview import OVERVIEW_NAME
from app.datasets.reports.report import (
    FACTS_NAME,
    PACK_NAME,
    REPORT_NAME,
    PackRequest,
    ProcessLimits,
    Report,
    VerificationRequest,
    invalid_report,
)
from app.datasets.verification.pack_facts import read_pack_facts
from app.datasets.verification.verify import verify

REQUESTS: Final[TypeAdapter[VerificationRequest | PackRequest]] = TypeAdapter(
    VerificationRequest | PackRequest
)
GRACE_SECONDS: Final = 30
USAGE: Final = 2


class CpuTimeSpentError(BaseException):
    """The soft limit on CPU time was reached. Not an `Exception`: no parser may take it for one."""


def main(arguments: list[str]) -> int:
    """Do what the request file asks for, and return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m app.datasets.verification REQUEST.json\n")
        return USAGE
    request = REQUESTS.validate_json(Path(arguments[0]).read_bytes())
    _limit_this_process(request.process_limits)
    if isinstance(request, PackRequest):
        facts = read_pack_facts(request).model_dump_json()
        write_whole(request.output / FACTS_NAME, facts, durable=False)
        return 0
    report = _verify_within_limits(request)
    if report.state == "invalid":
        for name in (PACK_NAME, OVERVIEW_NAME):
            (request.output / name).unlink(missing_ok=True)
    text = report.model_dump_json(indent=1) + "\n"
    write_whole(request.output / REPORT_NAME, text, durable=False)
    return 0


def _limit_this_process(limits: ProcessLimits) -> None:
    """Limit CPU time, file size and memory; the memory in addition to what the interpreter uses."""
    signal.signal(signal.SIGXCPU, _on_cpu_time_spent)
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + GRACE_SECONDS)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes)
    _lower(resource.RLIMIT_CORE, 0, 0)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        memory = pages * os.sysconf("SC_PAGE_SIZE") + limits.address_space_bytes
        _lower(resource.RLIMIT_AS, memory, memory)


def _lower(kind: int, soft: int, hard: int) -> None:
    """Set a limit, at most the hard limit that the process was started with."""
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
        text = f"The verification needs more than {limits.address_space_bytes} bytes of memory."
    except CpuTimeSpentError:
        text = f"The verification needs more than {limits.cpu_seconds} s of CPU time."
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        text = f"The dataset is larger than {limits.file_bytes} bytes."
    return invalid_report(Code.VERIFICATION_LIMIT, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
