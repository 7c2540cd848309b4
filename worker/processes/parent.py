"""The preloaded parent as its starter sees it: start it, order children, learn their exit codes."""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from app.core.guarded_files import tail_of_regular
from app.core.processes import spawn
from worker.processes.process import ATTEMPT_VARIABLE, Command

PROGRAM: Final = Path(__file__).with_name("preloaded.py")
PRELOADED: Final = (
    # First: it sets OMP_NUM_THREADS before numpy and torch read it (ultralytics/__init__.py:11),
    # so that importing them starts no threads.
    "ultralytics.models.yolo",
    "ultralytics.engine.trainer",
    "ultralytics.engine.validator",
    "ultralytics.models.yolo.depth.calibrate",
    "ultralytics.utils.events",
    # init_seeds imports these when it asks for deterministic algorithms (torch_utils.py).
    "torch._inductor.config",
    "torch._dynamo",
    "matplotlib.pyplot",
    "matplotlib.font_manager",
    "pydantic",
    "yaml",
)
"""The modules that a trainer needs whatever it trains."""

CODE: Final = Path(__file__).parents[2]
"""The folder from which a child that enters a cage imports the code for it."""
MARK_ROOM: Final = 200  # equal to that of preloaded.py, which imports nothing of ours
MAX_MESSAGE: Final = 64 * 1024
MAX_OUTPUT: Final = 2000
OUTPUT_SECONDS: Final = 1.0
START_SECONDS: Final = 120.0
"""How long imports may take; without compiled bytecode they take half a minute."""
ANSWER_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 0.1
"""How often a wait for imports looks whether it is still wanted."""


class NotUsable(Exception):
    """The parent cannot fork any more, or is dead or silent; the text is the reason."""


class NotForked(Exception):
    """This command needs a process of its own; the text is the reason."""


class PreloadedParent:
    """A process that has imported torch and Ultralytics, and forks children.

    The constructor does not wait until it is ready. The kernel kills it when the thread that made
    it ends, and its children when it ends.

    Args:
        environment: that of a trainer whose HOME is `folder`; PYTHONPATH is left out.
        folder: its private folder, laid out like the folder of an attempt.
        mark: the value of TRAINYARD_ATTEMPT by which its own process is found.
        modules: what it imports, in order.
    """

    def __init__(
        self, environment: Mapping[str, str], folder: Path, mark: str, modules: Sequence[str]
    ) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._turn = threading.Lock()
        self._is_ready = False
        self._has_unread_answer = False
        run = folder / "run"
        run.mkdir()
        variables = {**environment, ATTEMPT_VARIABLE: mark.ljust(MARK_ROOM)}
        variables.pop("PYTHONPATH", None)
        self._log_file = folder / "preloaded.log"
        with theirs, self._log_file.open("wb") as output:
            number = theirs.fileno()
            self._process = spawn(
                [sys.executable, str(PROGRAM), str(number), *modules],
                env=variables,
                output=output,
                pass_fds=(number,),
                cwd=run,
            )

    @property
    def pid(self) -> int:
        """Process id of the parent."""
        return self._process.pid

    def output(self) -> str:
        """Return the end of what the parent has printed: the reason if it failed."""
        with suppress(subprocess.TimeoutExpired):  # it closes its socket before it prints
            self._process.wait(OUTPUT_SECONDS)
        return tail_of_regular(self._log_file, most_bytes=MAX_OUTPUT)

    def wait_until_ready(self, check: Callable[[], None]) -> None:
        """Wait until its imports have ended.

        Args:
            check: called ten times a second; it raises if the wait is no longer wanted.

        Raises:
            NotUsable: the imports failed, or took too long.
        """
        poll, deadline = select.poll(), time.monotonic() + START_SECONDS
        poll.register(self._control, select.POLLIN)
        while not self._is_ready:
            check()
            if poll.poll(CHECK_SECONDS * 1000):
                self._hear_that_it_is_ready()
            elif time.monotonic() > deadline:
                raise NotUsable(f"it was silent for {START_SECONDS:.0f} seconds")

    def fork(self, command: Command, output: int) -> tuple[int, int]:
        """Return process id and pidfd of a child that runs the command. It must be ready.

        Args:
            command: `python -m MODULE …` or `python -I FILE …`.
            output: file descriptor of its stdout and stderr.

        Raises:
            NotForked: the environment of the command needs a new process.
            NotUsable: the parent cannot fork, or gives no answer.
        """
        order = {
            "argv": list(command.argv[1:]),
            "environment": dict(command.environment),
            "folder": str(command.folder),
            "attempt": command.attempt,
            "numbers": [1, *command.pass_fds],
            "cage": command.cage.to_json() if command.cage is not None else None,
            "code": str(CODE),
        }
        answer, files = self._ask(order, [output, *command.pass_fds])
        if "not_equal" in answer:
            raise NotForked(answer["not_equal"])
        if "pid" not in answer:
            raise NotUsable(answer.get("refused", "an answer that is not known"))
        if not files:
            raise NotUsable("this process has too many open files for that of a child")
        return int(answer["pid"]), files[0]

    def exit_code_of(self, pid: int) -> int:
        """Return the exit code of a child that has ended, negative for a signal.

        Waits for a slow parent as long as it lives: only the parent knows the exit code.

        Raises:
            NotUsable: the parent is dead.
        """
        answer, _ = self._ask({"exit_code_of": pid}, is_patient=True)
        return int(answer["exit_code"])

    def release(self, pid: int) -> None:
        """Reap a dead child; its process id can name another process afterwards.

        Raises:
            NotUsable: the parent is dead or silent.
        """
        self._ask({"release": pid})

    def close(self) -> None:
        """End the parent; its children are killed."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    def _hear_that_it_is_ready(self) -> None:
        with self._turn:
            answer, _ = self._receive()
        if answer["doubts"]:
            raise NotUsable("; ".join(answer["doubts"]))
        self._is_ready = True

    def _ask(
        self,
        message: Mapping[str, object],
        files: list[int] | None = None,
        *,
        is_patient: bool = False,
    ) -> tuple[dict[str, Any], list[int]]:
        with self._turn:
            if self._has_unread_answer:
                raise NotUsable("it was silent before")
            try:
                self._control.settimeout(ANSWER_SECONDS)
                socket.send_fds(self._control, [json.dumps(message).encode()], files or [])
            except OSError as error:
                raise NotUsable(f"it is gone ({error.strerror})") from error
            return self._receive(is_patient=is_patient)

    def _receive(self, *, is_patient: bool = False) -> tuple[dict[str, Any], list[int]]:
        self._control.settimeout(ANSWER_SECONDS)
        try:
            data, files, _, _ = socket.recv_fds(self._control, MAX_MESSAGE, 1)
        except TimeoutError as error:
            if is_patient and self._process.poll() is None:
                return self._receive(is_patient=True)
            self._has_unread_answer = True
            raise NotUsable(f"it was silent for {ANSWER_SECONDS:.0f} seconds") from error
        except OSError as error:
            raise NotUsable(f"it is gone ({error.strerror})") from error
        if not data:
            raise NotUsable("it ended")
        for file in files:
            os.set_inheritable(file, False)  # noqa: FBT003 -- it takes no keyword
        return json.loads(data), files
