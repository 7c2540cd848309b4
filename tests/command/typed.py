"""A person who types `trainyard …`, into a pipe or at a terminal of a given width."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.waiting import eventually

COMMAND: Final = (Path(sys.executable).with_name("trainyard"),)
SECONDS: Final = 120
CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
CHANGING: Final = (
    (re.compile(r"(job|ds|dsv|wrk|req)_[0-9A-Z]{26}"), r"\1_ID"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d"), "TIME"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "URL"),
)


@dataclass
class Person:
    """Who types commands.

    Args:
        folder: the working directory, and the home below it.
        environment: variables beside those that everybody has.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """Return the whole environment of a command."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TRAINYARD_HOME": str(home / "instance"),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            **self.environment,
        }

    def types(self, *words: str | Path, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command in a pipe."""
        return subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.variables(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    @contextmanager
    def at_terminal(self, *words: str, columns: int = 80) -> Iterator["Terminal"]:
        """Run a command at a terminal; it is killed when the block ends."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # tests that run in the background
            signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.variables(),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        try:
            yield Terminal(process, master)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            os.close(master)


@dataclass
class Terminal:
    """A command that runs at a terminal."""

    process: "subprocess.Popen[bytes]"
    master: int
    written: str = ""

    def read_until(self, is_there: Callable[[str], bool]) -> None:
        """Read what the command writes until something is there, or it has ended."""
        while not is_there(self.written):
            try:
                piece = os.read(self.master, 65536)
            except OSError:  # the command has ended
                return
            if not piece:
                return
            self.written += piece.decode("utf-8", "replace")

    def wait_for_connection(self, url: str) -> None:
        """Wait until the command has a connection to the server."""
        port = int(url.rpartition(":")[2])

        def is_connected() -> bool:
            found = psutil.Process(self.process.pid).net_connections(kind="tcp")
            return any(it.raddr[1:2] == (port,) for it in found)

        eventually(is_connected, within=SECONDS, message=lambda: self.text)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """Wait for the end, and return the exit status."""
        self.read_until(lambda _: False)
        return self.process.wait(SECONDS)

    @property
    def text(self) -> str:
        """What was written, without control characters."""
        return CONTROL.sub("", self.written)


def steady(text: str) -> str:
    """Return a text with ids, times and addresses that are the same in every run."""
    for pattern, replaced in CHANGING:
        text = pattern.sub(replaced, text)
    return text
