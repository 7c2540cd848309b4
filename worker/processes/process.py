"""One process of an attempt: it runs in its own session, and no process of the session outlives it.

The session and the inherited variable `TRAINYARD_ATTEMPT` identify the processes of an attempt: a
descendant that starts its own session still has the variable. A descendant that also clears its
environment would escape, but no part of a trainer does that.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import IO, Protocol, Self

from app.core.logging import get_logger
from app.core.processes import signal_group, spawn

ATTEMPT_VARIABLE = "TRAINYARD_ATTEMPT"
DEATH_SECONDS = 5.0
POLL_SECONDS = 0.02

log = get_logger(__name__)


@dataclass(frozen=True)
class Command:
    """A program to start: `attempt` marks every descendant, `pass_fds` are inherited unchanged."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    attempt: str
    pass_fds: Sequence[int] = ()


class RunningProcess(Protocol):
    """A running command. Leaving the block kills its whole session and waits until it is dead."""

    exit_code: int | None

    @property
    def pid(self) -> int:
        """Process id; also the id of its session and process group."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, negative for a signal; None while it still runs after `seconds`."""

    def request_leave(self) -> None:
        """Request every process of the session to leave now, by SIGTERM."""

    def request_finish(self) -> None:
        """Request the process, but not its children, to finish early, by SIGUSR1."""

    def kill(self) -> None:
        """Kill every process of the attempt, and return when all are dead."""


class AttemptProcess:
    """A running command. Leaving the block kills its whole session and waits until it is dead."""

    def __init__(self, command: Command, output: IO[bytes]) -> None:
        self._attempt = command.attempt
        self._process = spawn(
            command.argv,
            env={**command.environment, ATTEMPT_VARIABLE: command.attempt},
            output=output,
            pass_fds=command.pass_fds,
            cwd=command.folder,
        )
        self.exit_code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id; also the id of its session and process group."""
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, negative for a signal; None while it still runs after `seconds`.

        The process stays a zombie until the block ends, so its id is not reused meanwhile.
        """
        deadline, pause = time.monotonic() + seconds, Event()
        while not self._has_ended():
            if time.monotonic() >= deadline:
                return None
            pause.wait(POLL_SECONDS)
        return self.exit_code

    def request_leave(self) -> None:
        """Request every process of the session to leave now, by SIGTERM."""
        signal_group(self._process, signal.SIGTERM)

    def request_finish(self) -> None:
        """Request the process, but not its children, to finish early, by SIGUSR1."""
        self._process.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """Kill every process of the attempt, and return when all are dead."""
        kill_processes(self._attempt, session=self.pid)
        with suppress(subprocess.TimeoutExpired):  # a process stuck in the kernel
            self.exit_code = self._process.wait(DEATH_SECONDS)

    def _has_ended(self) -> bool:
        if self.exit_code is None:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            ended = os.waitid(os.P_PID, self.pid, options)
            if ended is not None:
                killed = ended.si_code != os.CLD_EXITED
                self.exit_code = -ended.si_status if killed else ended.si_status
        return self.exit_code is not None


def kill_processes(attempt: str, *, session: int | None = None) -> bool:
    """Kill every living process of an attempt; return False if one survives five seconds."""
    deadline, pause = time.monotonic() + DEATH_SECONDS, Event()
    while living := list(living_processes(attempt, session=session)):
        for pid in living:
            _kill(pid)
        if time.monotonic() > deadline:
            log.error("trainer.still_alive", attempt=attempt, pids=living)
            return False
        pause.wait(POLL_SECONDS)
    return True


def living_processes(attempt: str, *, session: int | None = None) -> Iterator[int]:
    """Yield the ids of the living processes of an attempt, by session or inherited mark."""
    mark = f"{ATTEMPT_VARIABLE}={attempt}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _belongs(entry, mark, session):
            yield int(entry.name)


def _belongs(entry: Path, mark: bytes, session: int | None) -> bool:
    try:
        stat = (entry / "stat").read_bytes()
        state, _parent, _group, of_session = stat.rpartition(b")")[2].split()[:4]
        if state in {b"Z", b"X"}:
            return False
        if session is not None and int(of_session) == session:
            return True
        return mark in (entry / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
