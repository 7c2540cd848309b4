"""How others end this process: SIGTERM leaves at once, SIGUSR1 finishes early, a lost parent kills.

Standard library only: it is set up before anything heavy is imported.
"""

import ctypes
import os
import resource
import signal
from dataclasses import dataclass
from types import FrameType
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


class Cancelled(BaseException):
    """SIGTERM: leave now; the last checkpoint can be resumed.

    No Exception: Ultralytics wraps those in several places (trainer.py:865, 1032) or swallows them
    (depth/train.py, final_eval).
    """


class SupervisorGone(BaseException):
    """Nobody reads the events any more."""


@dataclass
class Interrupts:
    """What has been asked of this process since it started."""

    stop_requested: bool = False
    supervisor_gone: bool = False
    leaving: bool = False

    def install(self) -> None:
        """Take over SIGTERM, SIGINT and SIGUSR1. To be called from the main thread."""
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, self._leave)
        signal.signal(signal.SIGUSR1, self._finish_early)

    def leave_because_supervisor_is_gone(self) -> None:
        """Raise `SupervisorGone` in the main thread. May be called from any thread."""
        self.supervisor_gone = True
        os.kill(os.getpid(), signal.SIGTERM)

    def raise_if_leaving(self) -> None:
        """Raise anew what a signal raised: clean-up code may have replaced it by its own error."""
        if self.leaving:
            raise SupervisorGone if self.supervisor_gone else Cancelled

    def _leave(self, _signum: int, _frame: FrameType | None) -> None:
        # A second one would break the clean-up that the first one began.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A signal to the group ends the loader's workers, too, and torch would raise about them.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.leaving = True
        self.raise_if_leaving()

    def _finish_early(self, _signum: int, _frame: FrameType | None) -> None:
        self.stop_requested = True


def die_with_parent() -> bool:
    """Have the kernel kill this process when its parent dies; false: the parent is dead already.

    The supervisor asks for the same before exec; this holds for any other parent, too.
    """
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    return os.getppid() == parent


def limit_memory(limit_bytes: int | None) -> None:
    """Let allocations beyond the address space of `limit_bytes` fail."""
    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
