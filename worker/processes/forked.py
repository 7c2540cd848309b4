"""A process of an attempt that a preloaded parent forked."""

import signal
from collections.abc import Callable
from typing import IO

from app.core.logging import get_logger
from worker.processes.parent import NotUsable, PreloadedParent
from worker.processes.process import Command, RunningProcess

log = get_logger(__name__)


class ForkedProcess(RunningProcess):
    """A process that a preloaded parent forked and will reap.

    Args:
        parent: forks the process; it is ready.
        command: what it runs.
        output: its stdout and stderr.
        on_end: called once the process is dead and released.

    Raises:
        NotForked: the command needs a new process.
        NotUsable: the parent cannot fork.
    """

    def __init__(
        self,
        parent: PreloadedParent,
        command: Command,
        output: IO[bytes],
        on_end: Callable[[], None],
    ) -> None:
        pid, pidfd = parent.fork(command, output.fileno())
        super().__init__(command.attempt, pid, pidfd)
        self._parent, self._on_end = parent, on_end

    def __exit__(self, *_: object) -> None:
        try:
            super().__exit__()
        finally:
            self._on_end()

    def _code_of_ended(self) -> int:
        """Return the exit code; if the parent died, the kernel killed the process with SIGKILL."""
        try:
            return self._parent.exit_code_of(self.pid)
        except NotUsable as error:
            log.warning("preloaded.lost", reason=str(error))
            return -signal.SIGKILL

    def _release(self) -> None:
        if self.exit_code is None:  # stuck in the kernel
            return
        try:
            self._parent.release(self.pid)
        except NotUsable as error:
            log.warning("preloaded.lost", reason=str(error))
