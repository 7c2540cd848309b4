"""Processes under test: started, killed, frozen, thawed and restarted; none outlives the test.

The kernel kills each process when the thread that started it ends, so that even a killed test run
leaves none.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from app.core.processes import _dying_with
from tests.waiting import eventually

DEATH_SECONDS = 20.0


@dataclass
class Program:
    """A command, its working folder, and the process that currently runs it.

    `ready` returns whether the process is ready for work; its output is appended to `log`.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    ready: Callable[[], bool] = lambda: True
    ready_seconds: float = 90.0
    user: str | None = None
    before_start: Callable[[], None] = lambda: None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, **environment: str) -> None:
        """Start it with additional environment variables; do not wait until it is ready."""
        assert not self.is_alive, f"{self.name} runs already"
        self.before_start()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                user=self.user,
                # After the change of user, which would undo it; it calls into libc only.
                preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509
            )

    def started(self, **environment: str) -> None:
        """Start it and wait until it is ready, or has died."""
        self.start(**environment)
        eventually(
            lambda: self.ready() or not self.is_alive,
            within=self.ready_seconds,
            message=lambda: f"{self.name} is not ready:\n{self.tail()}",
        )

    def kill(self) -> None:
        """Send SIGKILL to the process alone; the kernel and the product clean up after it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(DEATH_SECONDS)

    def kill_all(self) -> None:
        """Send SIGKILL to the process and all its descendants."""
        everyone = self.descendants()
        self.kill()
        for pid in everyone:
            _signal(pid, signal.SIGKILL)

    def died(self, within: float) -> int:
        """Wait until it ends by itself; return its exit status, negative for a signal."""
        eventually(lambda: not self.is_alive, within=within, message=self.tail)
        assert self._process is not None
        return int(self._process.returncode)

    def freeze(self) -> list[int]:
        """Send SIGSTOP to it and its descendants, as if the machine froze; return their ids."""
        frozen = [self.pid, *self.descendants()]
        for pid in frozen:
            _signal(pid, signal.SIGSTOP)
        return frozen

    def thaw(self, frozen: Sequence[int]) -> None:
        """Send SIGCONT to the frozen processes."""
        for pid in frozen:
            _signal(pid, signal.SIGCONT)

    def descendants(self) -> list[int]:
        """Return the processes that it started, and those that they started."""
        try:
            return [each.pid for each in psutil.Process(self.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def end(self) -> None:
        """Kill its process group and all descendants, also frozen ones, and wait for its end."""
        if self._process is None:
            return
        everyone = self.descendants()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in everyone:
            _signal(pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(DEATH_SECONDS)

    def tail(self) -> str:
        """Return the end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-30:])


def _signal(pid: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
