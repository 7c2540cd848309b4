"""The trainer process: `python -m worker.trainer job.json`. protocol.py describes its events."""

import importlib
import multiprocessing
import os
import sys
from contextlib import suppress
from pathlib import Path

from worker.trainer.interrupts import Interrupts, LeaveRequested, SupervisorGone, die_with_parent

# Exit codes of end reasons, as plain numbers, since they are needed before that module is imported.
_CANCELLED = 10
_SUPERVISOR_GONE = 16


def main(arguments: list[str]) -> int:
    """Run the job of the file named by the only argument and return the exit code."""
    interrupts = Interrupts()
    try:
        interrupts.install()
        if not die_with_parent():
            return _SUPERVISOR_GONE
        # Imported late, so that the handlers are already installed while modules are imported.
        process = importlib.import_module("worker.trainer.process")
        return int(process.run_job(Path(arguments[0]), interrupts))
    except LeaveRequested:
        return _CANCELLED
    except SupervisorGone:
        return _SUPERVISOR_GONE


def _leave(code: int) -> None:
    """End children and process at once; a normal exit would wait for threads that draw plots."""
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the disk of the log may be full, which is already reported
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
