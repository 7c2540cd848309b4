"""`trainyard up`: everything on this machine from one command, and nothing left behind after it."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from app.configuration import refuse_open_bind
from app.core.broker import EmbeddedBroker
from app.core.errors import Conflict
from app.core.files import locked, private_folder
from app.core.logging import configure_logging
from app.core.migrations import upgrade
from app.core.supervision import Child, ProcessChild, StopSignals, Supervisor
from app.listening import NOTE, listen, url_of
from app.settings import Settings

NEEDED_BY_A_WORKER = ("worker", "torch", "ultralytics")


class HomeInUse(Conflict):
    """Another `trainyard up` runs on this home."""

    slug, title = "home-in-use", "The home is in use"


def up(settings: Settings) -> int:
    """Run broker, server and one worker slot until SIGINT or SIGTERM; return the exit status.

    Raises:
        BadConfiguration: the address may be reached from elsewhere and nothing allows it.
        TrainyardError: the home is in use, the port is taken, the database is newer than this
            release, or the broker does not start.
    """
    refuse_open_bind(settings)
    configure_logging(level=settings.log_level)
    signals = StopSignals()
    with ExitStack() as stack:
        stack.enter_context(_home_held(settings.home))
        listener = stack.enter_context(listen(settings.host, settings.port))
        stack.enter_context(signals.installed())
        (settings.home / NOTE).unlink(missing_ok=True)
        upgrade(settings.effective_database_url)
        slot = slot_of_this_machine() if can_train() else None
        server = _server(settings, listener.fileno())
        children: list[Child] = [server]
        if settings.broker_url is None:
            children.insert(0, BrokerChild(EmbeddedBroker(settings.home)))
        if slot is not None:
            children.append(_worker(settings, slot))
        announcement = Announcement(settings.home, server, url_of(listener), slot)
        return Supervisor(children, signals).run(announcement.make_when_ready)


def can_train() -> bool:
    """Whether what a worker needs is installed; looked up, not imported."""
    return all(find_spec(name) is not None for name in NEEDED_BY_A_WORKER)


def slot_of_this_machine() -> str:
    """The slot to run: GPU 0 where there is one that may be used, else the CPU."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"} or find_spec("pynvml") is None:
        return "cpu"
    nvml = import_module("pynvml")
    try:
        nvml.nvmlInit()
        return "0" if nvml.nvmlDeviceGetCount() else "cpu"
    except nvml.NVMLError:  # no driver
        return "cpu"


@dataclass
class BrokerChild:
    """The embedded broker among the children."""

    broker: EmbeddedBroker
    name: str = "broker"
    exit_status: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server; None for an adopted one, which is nobody's child here."""
        return self.broker.pid

    def start(self) -> None:
        """Adopt or start the server; it answers on return."""
        self.broker.start()

    def is_alive(self) -> bool:
        """Whether the server runs."""
        return self.broker.is_alive()

    def ask_to_stop(self) -> None:
        """Shut the server down, which takes milliseconds."""
        self.broker.stop()

    def kill(self) -> None:
        """End the server at once."""
        self.broker.kill()


@dataclass
class Announcement:
    """Tells the person at the terminal, once, that the server answers and how to reach it."""

    home: Path
    server: ProcessChild
    url: str
    slot: str | None
    _made: bool = field(default=False, init=False)

    def make_when_ready(self) -> None:
        """Called on every tick; the note in the home says whether this run's server is ready."""
        if not self._made and self._noted_pid() == self.server.pid:
            self._made = True
            sys.stdout.write(self._text())
            sys.stdout.flush()

    def _noted_pid(self) -> int | None:
        try:
            pid: int = json.loads((self.home / NOTE).read_text())["pid"]
        except FileNotFoundError:
            return None
        return pid

    def _text(self) -> str:
        key = self.home / "api-key"
        slots = {
            None: "none: training needs the worker's packages (pip install 'trainyard[worker]')",
            "cpu": "one slot on the CPU",
        }
        return (
            f"Trainyard is ready at {self.url}\n"
            f"  API key  {key}\n"
            f"  worker   {slots.get(self.slot, f'one slot on GPU {self.slot}')}\n"
            f'  try      curl -H "Authorization: Bearer $(cat {key})" {self.url}/v1/jobs\n'
            f"  routes   {self.url}/openapi.json\n"
            "Ctrl-C stops everything.\n"
        )


def _server(settings: Settings, listener: int) -> ProcessChild:
    argv = [sys.executable, "-m", "app.cli", "server", "--listener", str(listener)]
    return ProcessChild("server", argv, _environment(settings), pass_fds=(listener,))


def _worker(settings: Settings, slot: str) -> ProcessChild:
    argv = [sys.executable, "-m", "worker", "--slots", slot]
    return ProcessChild("worker", argv, _environment(settings))


def _environment(settings: Settings) -> Mapping[str, str]:
    """This process's environment, with what its command line said on top."""
    return {
        **os.environ,
        "TRAINYARD_HOME": str(settings.home),
        "TRAINYARD_HOST": settings.host,
        "TRAINYARD_BEHIND_PROXY": str(settings.behind_proxy).lower(),
        "TRAINYARD_INSECURE_HTTP": str(settings.insecure_http).lower(),
    }


@contextmanager
def _home_held(home: Path) -> Iterator[None]:
    """Hold the home for this process; the kernel lets go of it when the process ends, however."""
    run = home / "run"
    for folder in (home, run):
        private_folder(folder)
    try:
        lock = locked(run / "up.lock")
    except BlockingIOError:
        raise HomeInUse(
            f"Another `trainyard up` runs on {home}; stop it, or choose another --home."
        ) from None
    with lock:
        yield
