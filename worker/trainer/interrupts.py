"""Signals that end the process: SIGTERM now, SIGUSR1 after the epoch, SIGKILL with the parent.

Standard library only, since the handlers are installed before anything heavy is imported.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


class LeaveRequested(BaseException):
    """The process received SIGTERM: it exits, and the last finished epoch can be resumed.

    Not an `Exception`, since Ultralytics wraps those in several places (trainer.py:865, 1032) or
    swallows them (depth/train.py, final_eval).
    """


class SupervisorGone(BaseException):
    """The event pipe has no reader any more, so the process exits."""


@dataclass
class Interrupts:
    """The requests that this process received by signal since it started."""

    stop_requested: bool = False
    supervisor_gone: bool = False
    leaving: bool = False
    is_deferred: bool = False

    def install(self) -> None:
        """Install handlers for SIGTERM, SIGINT and SIGUSR1. Call it from the main thread."""
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, self._leave)
        signal.signal(signal.SIGUSR1, self._finish_early)

    def leave_because_supervisor_is_gone(self) -> None:
        """Raise `SupervisorGone` in the main thread. Any thread can call it."""
        self.supervisor_gone = True
        os.kill(os.getpid(), signal.SIGTERM)

    def raise_if_leaving(self) -> None:
        """Raise a signal's exception again, since clean-up code may have replaced it."""
        if self.leaving:
            raise SupervisorGone if self.supervisor_gone else LeaveRequested

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the block complete before a signal's exception is raised."""
        self.is_deferred = True
        try:
            yield
        finally:
            self.is_deferred = False
        self.raise_if_leaving()

    def _leave(self, _signum: int, _frame: FrameType | None) -> None:
        # A second signal would interrupt the clean-up after the first one.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A signal to the process group also ends the loader's workers, and torch would raise.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.leaving = True
        if not self.is_deferred:
            self.raise_if_leaving()

    def _finish_early(self, _signum: int, _frame: FrameType | None) -> None:
        self.stop_requested = True


def die_with_parent() -> bool:
    """Have the kernel kill this process when its parent dies. Return whether the parent is alive.

    The supervisor requests the same before exec; this call also covers any other parent.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    return os.getppid() == parent


def limit_memory(limit_bytes: int | None) -> None:
    """Limit the address space to `limit_bytes`, so that larger allocations fail; None: no limit."""
    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
