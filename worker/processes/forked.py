"""A process of an attempt that a preloaded parent forked; it has the interface of a started one."""

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Self

from app.core.logging import get_logger
from worker.processes.parent import NotUsable, PreloadedParent
from worker.processes.process import DEATH_SECONDS, Command, kill_processes

log = get_logger(__name__)


class ForkedProcess:
    """A running command. Leaving the block kills its whole session and waits until it is dead.

    Args:
        parent: forks the process.
        command: what it runs.
        output: its stdout and stderr.
        on_end: called once the process is dead and released.

    Raises:
        NotForked: the command needs a process of its own.
        NotUsable: the parent cannot fork.
    """

    def __init__(
        self,
        parent: PreloadedParent,
        command: Command,
        output: IO[bytes],
        on_end: Callable[[], None],
    ) -> None:
        self._attempt, self._parent, self._on_end = command.attempt, parent, on_end
        self._pid, self._pidfd = parent.fork(command, output.fileno())
        self.exit_code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.kill()
            self._parent.release(self._pid)
        except NotUsable as error:
            log.warning("preloaded.lost", reason=str(error))
        finally:
            os.close(self._pidfd)
            self._on_end()

    @property
    def pid(self) -> int:
        """Process id; also the id of its session and process group."""
        return self._pid

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, negative for a signal; None while it still runs after `seconds`.

        If the parent died, the kernel killed the process: the code is that of SIGKILL.
        """
        if self.exit_code is None and self._has_ended(seconds):
            try:
                self.exit_code = self._parent.exit_code_of(self._pid)
            except NotUsable as error:
                log.warning("preloaded.lost", reason=str(error))
                self.exit_code = -signal.SIGKILL
        return self.exit_code

    def request_leave(self) -> None:
        """Request every process of the session to leave now, by SIGTERM."""
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGTERM)

    def request_finish(self) -> None:
        """Request the process, but not its children, to finish early, by SIGUSR1."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGUSR1)

    def kill(self) -> None:
        """Kill every process of the attempt, and return when all are dead."""
        kill_processes(self._attempt, session=self._pid)
        self.wait(DEATH_SECONDS)

    def _has_ended(self, seconds: float) -> bool:
        return bool(select.select([self._pidfd], [], [], max(0.0, seconds))[0])
