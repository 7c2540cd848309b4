"""Start the verification process of a server and wait for it."""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import struct_rusage
from subprocess import Popen
from typing import IO, Final

from pydantic import BaseModel

import app
from app.core.cage.launch import launched
from app.core.cage.plan import CagePlan
from app.core.guarded_files import entries_below
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
    """The exit code of a process, the end of what it wrote, and its processor time."""

    exit_code: int
    output: str
    cpu_seconds: float


def run_process(
    command: Sequence[str],
    request: BaseModel,
    directory: Path,
    *,
    cages: CagePlan,
    read: Iterable[Path] = (),
    interrupted: Callable[[float], bool],
) -> ProcessEnd:
    """Run the process to its end in a cage, then kill whatever is left of its session.

    A link that the process left in the directory is removed: outside of the cage, it would lead to
    other files than inside.

    Args:
        command: the program and its first arguments.
        request: is passed as a file.
        directory: the working directory, for the request and the log; all that it may write to.
        cages: the plan of its cage.
        read: what it may read besides its directory.
        interrupted: waits for the seconds, or until the process must not go on, and returns
            whether it must not.

    Raises:
        Interrupted: the process must not go on.
    """
    file = directory / "request.json"
    file.write_text(request.model_dump_json())
    with (directory / "log").open("w+b") as log_file:
        environment = _environment()
        cage = cages.cage(environment, read=read, write=[directory], program=command)
        argv = launched([*command, str(file)], cage)
        process = spawn(argv, env=environment, output=log_file, cwd=directory)
        try:
            while (ended := _ended(process)) is None:
                if interrupted(POLL_SECONDS):
                    raise Interrupted
            code, used = ended
            return ProcessEnd(code, _tail(log_file), used.ru_utime + used.ru_stime)
        finally:
            signal_group(process, signal.SIGKILL)
            process.wait()
            _remove_links(directory)


def _remove_links(folder: Path) -> None:
    """Remove all that is neither a folder nor a regular file."""
    for entry in entries_below(folder):
        if not (entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)):
            Path(entry.path).unlink()


def _ended(process: Popen[bytes]) -> tuple[int, struct_rusage] | None:
    """Return exit code and use of resources of an ended process; None while it runs."""
    pid, status, used = os.wait4(process.pid, os.WNOHANG)
    if pid == 0:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)  # `Popen` must not wait for it again
    return process.returncode, used


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
