"""Try a cage from inside: each thing that it has to forbid is a door, which must be shut."""

import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from app.core.cage.definition import Cage
from app.core.cage.launch import launched
from app.core.cage.plan import CagePlan
from app.settings import Settings

DOORS: Final = Path(__file__).with_name("doors.py")
CANARY: Final = "TRAINYARD_PROBE"
SECRETS: Final = ("api-key", "secret-key", "trainyard.db", "instance-id", "server.json")
FILES: Final = {"own": "mine", "other": "secret", "data": "image", "code": "module.py"}
"""What is made for the probe; of it, a process may change its own file only."""
PROCESSES: Final = 64
FILE_BYTES: Final = 1024 * 1024
PROBE_SECONDS: Final = 60.0

Run = Callable[["Order"], None]


@dataclass(frozen=True)
class Door:
    """One forbidden thing. `reached` says what a process of the cage got; None if it was refused.

    `name` is the kind, and after a colon what was tried, such as `read:api-key`.
    """

    name: str
    reached: str | None

    @property
    def is_shut(self) -> bool:
        """Whether the cage refused it."""
        return self.reached is None


@dataclass(frozen=True)
class Order:
    """How to run the probing program: see `Command` of the worker."""

    argv: list[str]
    environment: dict[str, str]
    folder: Path
    cage: Cage | None


class ProbeFailed(Exception):
    """The probing program ended without a result; the text is its output."""


def probe(settings: Settings) -> list[Door]:
    """Try every door of the cage of a trainer on a CPU slot, in a process of its own.

    Raises:
        ProbeFailed: the program could not run, for example since its cage failed.
    """
    return probe_plan(CagePlan.of_slot(settings, "cpu", ()), run_cold)


def probe_plan(plan: CagePlan, run: Run) -> list[Door]:
    """Try every door of a plan's cage.

    Args:
        plan: the plan; its home must exist.
        run: runs the program to its end; a warm process is tried by another one than `run_cold`.

    Raises:
        ProbeFailed: the program ended without a result.
    """
    with tempfile.TemporaryDirectory(prefix="probe-", dir=plan.hidden) as directory:
        place = _Place(Path(directory), plan)
        with place.sockets() as targets:
            run(place.order(targets))
        doors = [Door(name, reached) for name, reached in place.result().items()]
        return [*doors, Door("daemon", place.survivor())]


def run_cold(order: Order) -> None:
    """Run the program in a new process."""
    subprocess.run(
        launched(order.argv, order.cage),
        env=order.environment,
        cwd=order.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=PROBE_SECONDS,
        check=False,
    )


@dataclass(frozen=True)
class _Place:
    """A folder with what a process of the cage may have, and with what it may not."""

    root: Path
    plan: CagePlan

    @contextmanager
    def sockets(self) -> Iterator[dict[str, Any]]:
        """Yield the targets while something listens to the network and on unix sockets."""
        canary = secrets.token_hex(16)
        names: list[Any] = [("127.0.0.1", 0), str(self.root / "socket"), f"\0{canary}"]
        with (
            closing(socket.socket()) as network,
            closing(_unix()) as named,
            closing(_unix()) as abs_,
        ):
            for listening, name in zip((network, named, abs_), names, strict=True):
                listening.bind(name)
                listening.listen()
            os.environ[CANARY] = canary
            try:
                yield {
                    **self._files(),
                    "canary": canary,
                    "process": os.getpid(),
                    "address": list(network.getsockname()),
                    "socket": str(self.root / "socket"),
                    "abstract": canary,
                    "processes": PROCESSES,
                    "file_bytes": FILE_BYTES,
                }
            finally:
                del os.environ[CANARY]

    def order(self, targets: dict[str, Any]) -> Order:
        """Return the order for the program."""
        (self._own / "targets.json").write_text(json.dumps(targets), encoding="utf-8")
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self._own)}
        cage = self.plan.cage(environment, read=[self.root / "data"], write=[self._own])
        if cage is not None:
            code = (*cage.code, str(self.root / "code"))
            cage = replace(cage, code=code, processes=PROCESSES, file_bytes=FILE_BYTES)
        argv = [sys.executable, "-I", str(DOORS), str(self._own / "targets.json")]
        return Order(argv, environment, self._own, cage)

    def result(self) -> dict[str, str | None]:
        """Return what the program reached, by the names of the doors."""
        try:
            found: dict[str, str | None] = json.loads((self._own / "result.json").read_bytes())
        except (OSError, ValueError) as error:
            raise ProbeFailed(f"the probe wrote no result ({error})") from error
        return {name: self._reached_outside(name, reached) for name, reached in found.items()}

    def survivor(self) -> str | None:
        """Return what still lives of a process that left session and environment, or None."""
        with (self._own / "alive").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return "it outlives the process that started it"
        return None

    def _reached_outside(self, name: str, reached: str | None) -> str | None:
        """Forget a written file that is only in a private folder of the cage."""
        if reached is None or not name.startswith("write:"):
            return reached
        try:
            Path(reached).unlink()
        except OSError:
            return None
        return reached

    @property
    def _own(self) -> Path:
        return self.root / "own"

    def _files(self) -> dict[str, Any]:
        for folder, name in FILES.items():
            (self.root / folder).mkdir()
            (self.root / folder / name).write_bytes(b"0" * 100)
        home = self.plan.hidden
        mine = [home / name for name in SECRETS if (home / name).exists()]
        return {
            "secrets": [*map(str, mine), str(self.root / "other" / "secret"), "/etc/shadow"],
            "folders": [str(home), str(self.root / "other"), str(Path.home()), "/var/tmp", "/etc"],  # noqa: S108 -- a private one, or none
            "data": str(self.root / "data" / "image"),
            "code": str(self.root / "code" / "module.py"),
            "program": __file__,
            "alive": str(self._own / "alive"),
        }


def _unix() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
