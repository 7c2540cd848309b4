"""Start the verification process of a server and wait for it."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from pydantic import BaseModel

import app
from app.core.processes import signal_group, spawn

COMMAND: Final = (sys.executable, "-m", "app.datasets.verification")
POLL_SECONDS: Final = 0.05
LOG_TAIL_BYTES: Final = 4096
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""NumPy's library starts a thread for each core when it is loaded; a verification uses one core."""


class Interrupted(Exception):
    """The server is stopping or the lease is lost, so there is no result."""


@dataclass(frozen=True)
class ProcessEnd:
    """The exit code of a process, and the end of what it wrote."""

    exit_code: int
    output: str


def run_process(
    command: Sequence[str],
    request: BaseModel,
    directory: Path,
    *,
    interrupted: Callable[[float], bool],
) -> ProcessEnd:
    """Run the process to its end, then kill whatever is left of its session.

    Args:
        command: the program and its first arguments.
        request: is passed as a file.
        directory: the working directory, for the request and the log.
        interrupted: waits for the seconds, or until the process must not go on, and returns
            whether it must not.

    Raises:
        Interrupted: the process must not go on.
    """
    file = directory / "request.json"
    file.write_text(request.model_dump_json())
    with (directory / "log").open("w+b") as log_file:
        process = spawn([*command, str(file)], env=_environment(), output=log_file, cwd=directory)
        try:
            while (code := process.poll()) is None:
                if interrupted(POLL_SECONDS):
                    raise Interrupted
            return ProcessEnd(code, _tail(log_file))
        finally:
            signal_group(process, signal.SIGKILL)
            process.wait()


def _environment() -> dict[str, str]:
    """Return a minimal environment: the verification process only has to find our package."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(app.__file__).parent.parent),
        **ONE_THREAD,
    }


def _tail(log_file: IO[bytes]) -> str:
    log_file.seek(0, os.SEEK_END)
    log_file.seek(max(0, log_file.tell() - LOG_TAIL_BYTES))
    return log_file.read().decode("utf-8", "replace")
