"""Keeping child processes alive: started in order, started again when they die, stopped in reverse.

One thread, woken by signals; what it does next depends on the children's state and the clock alone.
"""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from app.configuration import EXIT_BAD_CONFIGURATION
from app.core.errors import TrainyardError
from app.core.logging import get_logger
from app.core.processes import adopt_orphans, child_processes, signal_group, spawn

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A child that lived this long is no longer one that cannot start."""

TICK_SECONDS = 0.25
STOP_SECONDS = 20.0
"""What a child may take to stop: a worker takes its trainer and its claim with it."""
ORPHAN_SECONDS = 2.0

log = get_logger(__name__)


class Child(Protocol):
    """Something that runs beside us and can be started any number of times."""

    name: str

    @property
    def pid(self) -> int | None:
        """Process id, if it is a child process of ours."""

    @property
    def exit_status(self) -> int | None:
        """How the last run ended: status, or minus the signal; None while it runs or unknown."""

    def start(self) -> None:
        """Start it; it may still fail later."""

    def is_alive(self) -> bool:
        """Whether it runs."""

    def ask_to_stop(self) -> None:
        """Ask it to end cleanly; returns at once."""

    def kill(self) -> None:
        """End it and all that it started, at once."""


@dataclass
class ProcessChild:
    """A child that is one program with its arguments."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    pass_fds: Sequence[int] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """Process id of the latest run."""
        return self._process.pid if self._process else None

    @property
    def exit_status(self) -> int | None:
        """Exit status of the latest run, or minus the signal that killed it."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the program in a session of its own."""
        self._process = spawn(self.argv, env=self.env, pass_fds=self.pass_fds)

    def is_alive(self) -> bool:
        """Whether the program runs."""
        return self._process is not None and self._process.poll() is None

    def ask_to_stop(self) -> None:
        """SIGTERM to the program; what it started is its own to stop."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to the program's session."""
        if self._process is not None:
            signal_group(self._process, signal.SIGKILL)
            self._process.wait()


class StopSignals:
    """Counts the signals that ask to stop, and wakes whoever waits for one or for a child's end."""

    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.asked = 0
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.settimeout(0)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take the signals over while the block runs."""
        previous = {number: signal.signal(number, self._count) for number in self.asking}
        previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous_fd)
            for number, handler in previous.items():
                signal.signal(number, handler)
            self._reader.close()
            self._writer.close()

    def wait(self, timeout: float) -> bool:
        """Wait for a signal, at most `timeout` seconds; return whether one came."""
        select.select([self._reader], [], [], max(0.0, timeout))
        try:
            return bool(self._reader.recv(4096))
        except BlockingIOError:
            return False

    def _count(self, *_: object) -> None:
        self.asked += 1


def next_pause(previous: float | None, *, lived_seconds: float) -> float:
    """Seconds to wait before a child that has died is started again."""
    if previous is None or lived_seconds >= STEADY_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(2 * previous, LONGEST_PAUSE_SECONDS)


@dataclass
class _Watched:
    child: Child
    started_at: float = 0.0
    pause: float | None = None
    restart_at: float | None = None


class Supervisor:
    """Runs children until it is asked to stop."""

    def __init__(self, children: Sequence[Child], signals: StopSignals) -> None:
        self._watched = [_Watched(child) for child in children]
        self._signals = signals

    def run(self, on_tick: Callable[[], None]) -> int:
        """Start all, keep them alive until a signal asks to stop, stop all; return an exit status.

        Args:
            on_tick: called after every look at the children.

        Raises:
            TrainyardError: a child could not be started at all the first time.
        """
        adopt_orphans()
        try:
            for watched in self._watched:
                self._start(watched)
            while not self._signals.asked:
                if self._signals.wait(TICK_SECONDS):
                    self._reap_orphans()
                if any(self._look_after(watched) for watched in self._watched):
                    return EXIT_BAD_CONFIGURATION
                on_tick()
            return 0
        finally:
            self._stop_all()

    def _start(self, watched: _Watched) -> None:
        watched.started_at, watched.restart_at = time.monotonic(), None
        watched.child.start()

    def _look_after(self, watched: _Watched) -> bool:
        """Start a dead child again when its time has come; true if that would be of no use."""
        child, now = watched.child, time.monotonic()
        if watched.restart_at is not None:
            if now >= watched.restart_at:
                self._start_again(watched)
        elif not child.is_alive():
            if child.exit_status == EXIT_BAD_CONFIGURATION:
                return True
            child.kill()  # what it left of its session
            watched.pause = next_pause(watched.pause, lived_seconds=now - watched.started_at)
            watched.restart_at = now + watched.pause
            log.warning(
                "child.died",
                name=child.name,
                exit_status=child.exit_status,
                restart_in_seconds=watched.pause,
            )
        return False

    def _start_again(self, watched: _Watched) -> None:
        try:
            self._start(watched)
        except (TrainyardError, OSError) as error:
            watched.pause = next_pause(watched.pause, lived_seconds=0)
            watched.restart_at = time.monotonic() + watched.pause
            log.warning("child.not_started", name=watched.child.name, reason=str(error))
        else:
            log.info("child.restarted", name=watched.child.name, pid=watched.child.pid)

    def _stop_all(self) -> None:
        """Last started, first stopped: whoever needs another stops before it."""
        patience = max(1, self._signals.asked)
        for child in (watched.child for watched in reversed(self._watched)):
            if child.is_alive():
                child.ask_to_stop()
                self._wait_while(child.is_alive, patience=patience, seconds=STOP_SECONDS)
            child.kill()
        self._wait_while(self._reap_orphans, patience=patience, seconds=ORPHAN_SECONDS)
        for pid in self._reap_orphans():
            log.warning("orphan.killed", pid=pid)
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _wait_while(self, busy: Callable[[], object], *, patience: int, seconds: float) -> None:
        """Wait while `busy`, at most `seconds`, or until more signals came than `patience`."""
        deadline = time.monotonic() + seconds
        while busy() and time.monotonic() < deadline and self._signals.asked <= patience:
            self._signals.wait(min(TICK_SECONDS, deadline - time.monotonic()))

    def _reap_orphans(self) -> set[int]:
        """Bury dead descendants that came to us, and return those that live."""
        orphans = child_processes() - {watched.child.pid for watched in self._watched}
        living = set()
        for pid in orphans:
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    living.add(pid)
        return living
