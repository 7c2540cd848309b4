"""The trainer process: `python -m worker.trainer job.json`. See protocol.py for what it says."""

import importlib
import multiprocessing
import os
import sys
from contextlib import suppress
from pathlib import Path

from worker.trainer.interrupts import Cancelled, Interrupts, SupervisorGone, die_with_parent

# Exit codes of end reasons, as plain numbers: they are needed before that module is imported.
_CANCELLED = 10
_SUPERVISOR_GONE = 16


def main(arguments: list[str]) -> int:
    """Run the job of the file named by the only argument and return the exit code."""
    interrupts = Interrupts()
    try:
        interrupts.install()
        if not die_with_parent():
            return _SUPERVISOR_GONE
        # Late: a signal that comes while modules are imported must find its handler in place.
        process = importlib.import_module("worker.trainer.process")
        return int(process.run_job(Path(arguments[0]), interrupts))
    except Cancelled:
        return _CANCELLED
    except SupervisorGone:
        return _SUPERVISOR_GONE


def _leave(code: int) -> None:
    """End children and process at once; a normal end would wait for threads that draw plots."""
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a full disk takes no more of the log, and says so by now
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
