"""Starts the processes of a slot: forked by a preloaded parent where that changes nothing, or new.

Importing torch and Ultralytics takes seconds and most of the processor time of a small job. A
parent that has imported them forks a process in a tenth of a second. Whenever it is doubtful that
the fork would be equal to a new process, a new process is started and the reason is logged.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Final

from app.core.files import PRIVATE_FOLDER, private_folder
from app.core.logging import get_logger
from app.settings.worker import WarmTrainers
from worker.processes.forked import ForkedProcess
from worker.processes.parent import PRELOADED, NotForked, NotUsable, PreloadedParent
from worker.processes.process import Command, NewProcess, RunningProcess, kill_processes
from worker.trainer.environment import keep_font_lists, trainer_environment

IDLE_SECONDS: Final = 600.0
"""How long a parent without children lives; it takes 400 MB of memory."""
MOST_FAILURES: Final = 2
"""Parents that failed one after another, after which the slot starts new processes only."""
OPTIONS_OF_FORKS: Final = ("-m", "-I")
RECORDS: Final = ("*.dist-info/RECORD", "*.dist-info/METADATA", "*.egg-info")

log = get_logger(__name__)


def _nothing() -> None: ...


class ProcessStarter:
    """Starts processes, and keeps at most one preloaded parent.

    Call `preload` and `start` from a thread that lives as long as the slot: the kernel kills the
    parent when the thread that started it ends.

    Args:
        warm: whether to fork; see the setting.
        folder: the folder of the parent, which no other living process uses. Its name, which is
            unique on this machine, marks the parent as an attempt's name marks its processes.
        idle_seconds: how long an `auto` parent without children lives.
        modules: what the parent imports.
    """

    def __init__(
        self,
        warm: WarmTrainers,
        folder: Path,
        *,
        idle_seconds: float = IDLE_SECONDS,
        modules: Sequence[str] = PRELOADED,
    ) -> None:
        self._warm: WarmTrainers = warm
        self._folder = folder
        self._idle_seconds = idle_seconds
        self._modules = modules
        self._lock = threading.RLock()
        self._parent: PreloadedParent | None = None
        self._packages: frozenset[tuple[str, int, int]] = frozenset()
        self._children = 0
        self._failures = 0
        self._idle: threading.Timer | None = None

    @property
    def preloaded_pid(self) -> int | None:
        """Process id of the parent, if there is one."""
        with self._lock:
            return self._parent.pid if self._parent else None

    def preload(self) -> None:
        """Start the parent if there is none, without waiting for it."""
        with self._lock:
            try:
                self._usable_parent()
            except OSError as error:
                log.warning("preloaded.failed", reason=str(error))
                self._end_without_children()
            self._wait_for_idle()

    def start(
        self,
        command: Command,
        output: IO[bytes],
        *,
        heavy: bool,
        check: Callable[[], None] = _nothing,
    ) -> RunningProcess:
        """Start a process; use it as a context manager.

        Args:
            command: what it runs.
            output: its stdout and stderr.
            heavy: whether it imports torch, so that a fork is worth a parent.
            check: called while a new parent imports, which takes seconds; it raises if the process
                is no longer wanted, and its exception is raised here.
        """
        if heavy and _can_be_forked(command):
            forked = self._fork(command, output, check)
            if forked is not None:
                return forked
        return NewProcess(command, output)

    def close(self) -> None:
        """End the parent, if there is one."""
        with self._lock:
            self._stop_waiting()
            self._end()

    def _fork(
        self, command: Command, output: IO[bytes], check: Callable[[], None]
    ) -> ForkedProcess | None:
        with self._lock:
            try:
                parent = self._usable_parent()
                if parent is None:
                    return None
                parent.wait_until_ready(check)
                keep_font_lists(self._folder, base=os.environ)
                forked = ForkedProcess(parent, command, output, self._on_end)
                self._children += 1
                self._failures = 0
            except NotForked as reason:
                log.info("process.started_cold", attempt=command.attempt, reason=str(reason))
                return None
            except (NotUsable, OSError) as error:
                self._discard(str(error))
                return None
            finally:
                self._wait_for_idle()
            return forked

    def _usable_parent(self) -> PreloadedParent | None:
        """Return the parent, or a new one if it is missing or its packages were changed."""
        if self._warm == "never" or self._failures >= MOST_FAILURES:
            return None
        self._stop_waiting()
        packages = installed_packages()
        if self._parent is not None and packages != self._packages:
            if self._children:
                return None
            log.info("preloaded.retired", pid=self._parent.pid)
            self._end()
        if self._parent is None:
            self._make_folder()
            environment = trainer_environment(self._folder, gpu=None, base=os.environ)
            self._parent = PreloadedParent(
                environment, self._folder, self._folder.name, self._modules
            )
            self._packages = packages
            log.info("preloaded.started", pid=self._parent.pid)
        return self._parent

    def _make_folder(self) -> None:
        private_folder(self._folder.parent)
        kill_processes(self._folder.name)  # of a slot that was killed
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=PRIVATE_FOLDER)

    def _discard(self, reason: str) -> None:
        """End a parent that failed, unless a child of it still lives."""
        self._failures += 1
        for_good = self._failures >= MOST_FAILURES
        output = self._parent.output() if self._parent is not None else ""
        log.warning("preloaded.failed", reason=reason, cold_from_now_on=for_good, output=output)
        self._end_without_children()

    def _end_without_children(self) -> None:
        if not self._children:
            self._end()

    def _end(self) -> None:
        if self._parent is not None:
            self._parent.close()
            self._parent = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _on_end(self) -> None:
        with self._lock:
            self._children -= 1
            self._wait_for_idle()

    def _wait_for_idle(self) -> None:
        if self._warm == "auto" and self._parent is not None and not self._children:
            self._stop_waiting()
            self._idle = threading.Timer(self._idle_seconds, self._end_idle)
            self._idle.daemon = True
            self._idle.start()

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _end_idle(self) -> None:
        with self._lock:
            if self._idle is threading.current_thread() and not self._children:
                log.info("preloaded.ended", reason="idle")
                self._end()


def installed_packages() -> frozenset[tuple[str, int, int]]:
    """Return the installed packages with a sign of each version: its records' files and times.

    Modules that a parent has not imported yet would come from the new version of a package.
    """
    packages = set()
    for folder in filter(Path.is_dir, map(Path, sys.path)):
        for record in chain.from_iterable(map(folder.glob, RECORDS)):
            with suppress(FileNotFoundError):  # a package is being replaced
                found = record.stat()
                packages.add((str(record), found.st_ino, found.st_mtime_ns))
    return frozenset(packages)


def _can_be_forked(command: Command) -> bool:
    interpreter, option, *_ = command.argv
    return interpreter == sys.executable and option in OPTIONS_OF_FORKS
