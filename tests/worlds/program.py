"""Processes under test: started, killed, frozen, thawed and started again; none outlives the test.

The kernel kills each when the thread that started it ends, so that not even a killed test run
leaves one.
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
    """A command, the folder that it runs in, and the process that runs it now.

    `ready` tells whether the process does its work by now; what it prints is appended to `log`.
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
        """Start it, with more in its environment; do not wait until it is ready."""
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
        """SIGKILL to the process alone: the kernel and the product see to what it leaves."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(DEATH_SECONDS)

    def kill_all(self) -> None:
        """SIGKILL to the process and to all that it started."""
        everyone = self.descendants()
        self.kill()
        for pid in everyone:
            _signal(pid, signal.SIGKILL)

    def died(self, within: float) -> int:
        """Wait until it has ended by itself; return its exit status, negative for a signal."""
        eventually(lambda: not self.is_alive, within=within, message=self.tail)
        assert self._process is not None
        return int(self._process.returncode)

    def freeze(self) -> list[int]:
        """SIGSTOP it and all that it started, as when a machine stands still; return who."""
        frozen = [self.pid, *self.descendants()]
        for pid in frozen:
            _signal(pid, signal.SIGSTOP)
        return frozen

    def thaw(self, frozen: Sequence[int]) -> None:
        """SIGCONT to all that were frozen."""
        for pid in frozen:
            _signal(pid, signal.SIGCONT)

    def descendants(self) -> list[int]:
        """The processes that it started, and those that they started."""
        try:
            return [each.pid for each in psutil.Process(self.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def end(self) -> None:
        """Leave nothing of it: SIGCONT, SIGKILL, to all that it started, too."""
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
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-30:])


def _signal(pid: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signum)
