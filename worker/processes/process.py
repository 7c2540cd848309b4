"""One process of an attempt: it runs in its own session, and no process of the session outlives it.

The session and the inherited variable `TRAINYARD_ATTEMPT` identify the processes of an attempt: a
descendant that starts its own session still has the variable. A descendant that also clears its
environment ends with the namespace of processes of its cage. Where the machine has none, it stays.
"""

import os
import select
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import IO, Self, cast

from app.core.cage.definition import Cage
from app.core.cage.launch import launched
from app.core.logging import get_logger
from app.core.processes import spawn

ATTEMPT_VARIABLE = "TRAINYARD_ATTEMPT"
DEATH_SECONDS = 5.0
POLL_SECONDS = 0.02

log = get_logger(__name__)


@dataclass(frozen=True)
class Command:
    """A program to start: `attempt` marks every descendant, `pass_fds` are inherited unchanged.

    `cage` holds the program; None starts it as this process is.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    attempt: str
    pass_fds: Sequence[int] = ()
    cage: Cage | None = None


class RunningProcess(ABC):
    """A running command. Leaving the block kills its whole session and waits until it is dead."""

    def __init__(self, attempt: str, pid: int, pidfd: int) -> None:
        self.exit_code: int | None = None
        self._attempt, self._pid, self._pidfd = attempt, pid, pidfd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.kill()
            self._release()
        finally:
            os.close(self._pidfd)

    @property
    def pid(self) -> int:
        """Process id; also the id of its session and process group."""
        return self._pid

    def wait(self, seconds: float) -> int | None:
        """Return the exit code, negative for a signal; None while it still runs after `seconds`.

        Returns at once when the process ends. It stays a zombie until the block ends, so its id is
        not reused meanwhile.
        """
        if self.exit_code is None:
            poll = select.poll()  # unlike select(), it takes descriptors above 1023
            poll.register(self._pidfd, select.POLLIN)
            if poll.poll(max(0.0, seconds) * 1000):
                self.exit_code = self._code_of_ended()
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

    @abstractmethod
    def _code_of_ended(self) -> int:
        """Return the exit code of the process, which has ended and is not reaped."""

    @abstractmethod
    def _release(self) -> None:
        """Reap the process, if it has ended."""


class NewProcess(RunningProcess):
    """A process that this one started."""

    def __init__(self, command: Command, output: IO[bytes]) -> None:
        self._process = spawn(
            launched(command.argv, command.cage),
            env={**command.environment, ATTEMPT_VARIABLE: command.attempt},
            output=output,
            pass_fds=command.pass_fds,
            cwd=command.folder,
        )
        try:
            pidfd = os.pidfd_open(self._process.pid)  # readable from the moment the process ends
        except OSError:  # this process has too many open files
            kill_processes(command.attempt, session=self._process.pid)
            self._process.wait()
            raise
        super().__init__(command.attempt, self._process.pid, pidfd)

    def _code_of_ended(self) -> int:
        # Not by Popen, which would reap it.
        ended = cast(
            "os.waitid_result", os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        )  # None only with WNOHANG
        killed = ended.si_code != os.CLD_EXITED
        return -ended.si_status if killed else ended.si_status

    def _release(self) -> None:
        self._process.poll()


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
