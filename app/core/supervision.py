"""Keep child processes alive: start them in order, restart those that die, stop all at the end.

One thread does this, woken by signals. Its next step depends only on the state of the children and
the clock. `trainyard up` runs broker, server and worker; `python -m worker` one process per slot.
"""

import os
import select
import signal
import socket
import subprocess
import sys
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
"""A child that ran this long has started successfully; its next restart has the first pause."""

TICK_SECONDS = 0.25
STOP_SECONDS = 40.0
"""How long `stop_in_reverse` waits for each child: a worker first stops its trainer, which has
`kill_grace_seconds`, and stores what that has written."""
DRAIN_SECONDS = 60.0
"""How long `stop_together` waits for all children."""
ORPHAN_SECONDS = 2.0

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

log = get_logger(__name__)


class Child(Protocol):
    """A program that runs beside this process and can be started any number of times."""

    name: str

    @property
    def pid(self) -> int | None:
        """Process id, if it is a child process of this process."""

    @property
    def exit_status(self) -> int | None:
        """Exit status of the last run, or minus its signal; None while it runs or if unknown."""

    def start(self) -> None:
        """Start it; it may still fail later."""

    def is_alive(self) -> bool:
        """Return whether it runs."""

    def ask_to_stop(self) -> None:
        """Ask it to end cleanly; do not wait."""

    def kill(self) -> None:
        """Kill it and every process that it started."""


@dataclass
class ProcessChild:
    """A child process: a program with arguments and environment."""

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
        """Start the program in a new session."""
        self._process = spawn(self.argv, env=self.env, pass_fds=self.pass_fds)

    def is_alive(self) -> bool:
        """Return whether the program runs."""
        return self._process is not None and self._process.poll() is None

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the program, which has to stop the processes that it started."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL to the program's session and wait for the program to end."""
        if self._process is not None:
            signal_group(self._process, signal.SIGKILL)
            self._process.wait()


class StopSignals:
    """Counts stop signals; `wait` returns at a stop signal or when a child process ends."""

    def __init__(self, numbers: Sequence[signal.Signals] = STOP_SIGNALS) -> None:
        self.count = 0
        self._numbers = numbers
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.settimeout(0)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals while the block runs."""
        previous = {number: signal.signal(number, self._increment) for number in self._numbers}
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
        """Wait for a signal for at most `timeout` seconds; return whether one was received."""
        select.select([self._reader], [], [], max(0.0, timeout))
        try:
            return bool(self._reader.recv(4096))
        except BlockingIOError:
            return False

    def wait_while(self, busy: Callable[[], object], *, patience: int, seconds: float) -> None:
        """Wait while `busy`, for at most `seconds`, or until `count` exceeds `patience`."""
        deadline = time.monotonic() + seconds
        while busy() and time.monotonic() < deadline and self.count <= patience:
            self.wait(min(TICK_SECONDS, deadline - time.monotonic()))

    def _increment(self, *_: object) -> None:
        self.count += 1


def next_pause(previous: float | None, *, lived_seconds: float) -> float:
    """Return the seconds to wait before a dead child is restarted."""
    if previous is None or lived_seconds >= STEADY_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(2 * previous, LONGEST_PAUSE_SECONDS)


Stop = Callable[[Sequence[Child], StopSignals], None]
"""Stops all children, which are in the order of their start; all are dead when it returns."""


def stop_in_reverse(children: Sequence[Child], signals: StopSignals) -> None:
    """Stop one child after another, the last one first, because later ones depend on earlier ones.

    Another stop signal kills all children that still run.
    """
    patience = max(1, signals.count)
    for child in reversed(children):
        if child.is_alive():
            child.ask_to_stop()
            signals.wait_while(child.is_alive, patience=patience, seconds=STOP_SECONDS)
        _kill(child)


def stop_together(children: Sequence[Child], signals: StopSignals) -> None:
    """Ask all children to stop at the same time, and again at each further stop signal.

    Children such as worker slots stop faster when they are asked again.
    """
    for child in children:
        child.ask_to_stop()
    # Usually a signal has begun the stop: that one is passed on already.
    passed_on, deadline = min(1, signals.count), time.monotonic() + DRAIN_SECONDS
    while (living := [child for child in children if child.is_alive()]) and (
        time.monotonic() < deadline
    ):
        signals.wait(TICK_SECONDS)
        if signals.count > passed_on:
            passed_on = signals.count
            for child in living:
                child.ask_to_stop()
    for child in children:
        _kill(child)


def _kill(child: Child) -> None:
    if child.is_alive():
        log.warning("child.killed", name=child.name)
    child.kill()  # also kills what is left of a dead child's session


@dataclass
class _Watched:
    child: Child
    started_at: float = 0.0
    pause: float | None = None
    restart_at: float | None = None


class Supervisor:
    """Runs children until a stop signal is received."""

    def __init__(
        self, children: Sequence[Child], signals: StopSignals, *, stop: Stop = stop_in_reverse
    ) -> None:
        self._watched = [_Watched(child) for child in children]
        self._signals = signals
        self._stop = stop

    def run(self, on_tick: Callable[[], None]) -> int:
        """Start all children, restart dead ones until a stop signal, then stop all.

        Args:
            on_tick: called after every check of the children.

        Returns:
            The exit status of this process: 0, or 78 if a child ended with a configuration error.

        Raises:
            TrainyardError: the first start of a child failed.
        """
        adopt_orphans()
        try:
            for watched in self._watched:
                self._start(watched)
            while not self._signals.count:
                if self._signals.wait(TICK_SECONDS):
                    self._reap_orphans()
                if any(self._check(watched) for watched in self._watched):
                    return EXIT_BAD_CONFIGURATION
                on_tick()
            return 0
        finally:
            self._stop_all()

    def _start(self, watched: _Watched) -> None:
        watched.started_at, watched.restart_at = time.monotonic(), None
        watched.child.start()

    def _check(self, watched: _Watched) -> bool:
        """Restart a dead child when its pause is over; return whether a restart would be useless.

        It would be if the child ended with a configuration error.
        """
        child, now = watched.child, time.monotonic()
        if watched.restart_at is not None:
            if now >= watched.restart_at:
                self._restart(watched)
        elif not child.is_alive():
            if child.exit_status == EXIT_BAD_CONFIGURATION:
                return True
            child.kill()  # kills what is left of its session
            watched.pause = next_pause(watched.pause, lived_seconds=now - watched.started_at)
            watched.restart_at = now + watched.pause
            log.warning(
                "child.died",
                name=child.name,
                exit_status=child.exit_status,
                restart_in_seconds=watched.pause,
            )
        return False

    def _restart(self, watched: _Watched) -> None:
        try:
            self._start(watched)
        except (TrainyardError, OSError) as error:
            watched.pause = next_pause(watched.pause, lived_seconds=0)
            watched.restart_at = time.monotonic() + watched.pause
            log.warning("child.not_started", name=watched.child.name, reason=str(error))
        else:
            log.info("child.restarted", name=watched.child.name, pid=watched.child.pid)

    def _stop_all(self) -> None:
        patience = max(1, self._signals.count)
        self._stop([watched.child for watched in self._watched], self._signals)
        self._signals.wait_while(self._reap_orphans, patience=patience, seconds=ORPHAN_SECONDS)
        for pid in self._reap_orphans():
            log.warning("orphan.killed", pid=pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Bounded: a process that is stuck in a driver dies only once the driver lets it.
        self._signals.wait_while(self._reap_orphans, patience=sys.maxsize, seconds=ORPHAN_SECONDS)

    def _reap_orphans(self) -> set[int]:
        """Reap dead descendants that this process has adopted; return the living ones."""
        orphans = child_processes() - {watched.child.pid for watched in self._watched}
        living = set()
        for pid in orphans:
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    living.add(pid)
        return living
