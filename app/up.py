"""`trainyard up`: run everything on this machine, and leave no process behind."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec

from app.configuration import refuse_open_bind
from app.core.broker import EmbeddedBroker
from app.core.home import locked_home
from app.core.logging import configure_logging
from app.core.migrations import upgrade
from app.core.supervision import Child, ProcessChild, StopSignals, Supervisor
from app.first_page import first_page_url, forget_first_page, has_desktop, open_browser
from app.http_server.tls import tls_context
from app.listening import NOTE, listen, url_of
from app.settings import Settings

FIRST_LINK = "  (signs you in, once, within 10 minutes)"
NEEDED_BY_A_WORKER = ("worker", "torch", "ultralytics")


def up(settings: Settings, *, opens_browser: bool = False) -> int:
    """Run broker, server and one worker slot until SIGINT or SIGTERM; return the exit status.

    Args:
        settings: of this run.
        opens_browser: whether to open the first page in the browser of the desktop, if there is
            one.

    Raises:
        BadConfiguration: other machines can reach the address, and no setting allows that; or the
            TLS files are not valid.
        TrainyardError: the home or the port is in use, the database is newer than this release, or
            the broker does not start.
    """
    refuse_open_bind(settings)
    tls = tls_context(settings) is not None
    configure_logging(level=settings.log_level)
    with ExitStack() as stack:
        stack.enter_context(locked_home(settings.home, by="up", holder="`trainyard up`"))
        # For the server below, which inherits its listener and takes no lock of its own.
        stack.enter_context(locked_home(settings.home, by="server", holder="server"))
        listener = stack.enter_context(listen(settings.host, settings.port))
        signals = StopSignals()
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
        stack.callback(forget_first_page, settings.home)
        announcement = Announcement(
            settings,
            server,
            url_of(listener, tls=tls),
            slot,
            opens_browser=opens_browser and has_desktop(),
        )
        return Supervisor(children, signals).run(announcement.make_when_ready)


def can_train() -> bool:
    """Return whether the worker's packages are installed, without importing them."""
    return all(find_spec(name) is not None for name in NEEDED_BY_A_WORKER)


def slot_of_this_machine() -> str:
    """Return the slot to run: GPU 0 if there is a usable GPU, else the CPU."""
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
    """The embedded broker as a child of the supervisor."""

    broker: EmbeddedBroker
    name: str = "broker"
    exit_status: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the broker; None for an adopted one, which is not a child process."""
        return self.broker.pid

    def start(self) -> None:
        """Adopt or start the broker and wait until it responds."""
        self.broker.start()

    def is_alive(self) -> bool:
        """Return whether the broker runs."""
        return self.broker.is_alive()

    def ask_to_stop(self) -> None:
        """Shut the broker down, which takes milliseconds."""
        self.broker.stop()

    def kill(self) -> None:
        """Kill the broker."""
        self.broker.kill()


@dataclass
class Announcement:
    """Prints once to the terminal that the server is ready, and how to reach it."""

    settings: Settings
    server: ProcessChild
    url: str
    slot: str | None
    opens_browser: bool = False
    _made: bool = field(default=False, init=False)

    def make_when_ready(self) -> None:
        """Print when `server.json` contains the pid of this run's server. Called on every tick."""
        if not self._made and self._ready_pid() == self.server.pid:
            self._made = True
            page, signs_in = first_page_url(self.settings, self.url)
            sys.stdout.write(self._text(page, signs_in=signs_in))
            sys.stdout.flush()
            if self.opens_browser:
                open_browser(self.settings.home, page)

    def _ready_pid(self) -> int | None:
        try:
            pid: int = json.loads((self.settings.home / NOTE).read_text())["pid"]
        except FileNotFoundError:
            return None
        return pid

    def _text(self, page: str, *, signs_in: bool) -> str:
        key = self.settings.home / "api-key"
        slots = {
            None: "none; the worker's packages are not installed, see docs/install.md",
            "cpu": "one slot on the CPU",
        }
        return (
            f"Trainyard is ready at {self.url}\n"
            f"  open     {page}{FIRST_LINK if signs_in else ''}\n"
            f"  API key  {key}\n"
            f"  worker   {slots.get(self.slot, f'one slot on GPU {self.slot}')}\n"
            f'  try      curl -H "Authorization: Bearer $(cat {key})" {self.url}/v1/jobs\n'
            f"  routes   {self.url}/openapi.json\n"
            "Press Ctrl-C to stop everything.\n"
        )


def _server(settings: Settings, listener: int) -> ProcessChild:
    argv = [sys.executable, "-m", "app.cli", "server", "--listener", str(listener)]
    return ProcessChild("server", argv, _environment(settings), pass_fds=(listener,))


def _worker(settings: Settings, slot: str) -> ProcessChild:
    argv = [sys.executable, "-m", "worker", "--slots", slot]
    return ProcessChild("worker", argv, _environment(settings))


def _environment(settings: Settings) -> Mapping[str, str]:
    """Return this process's environment, overridden by the options of its command line."""
    tls = {
        "TRAINYARD_TLS_CERTIFICATE_FILE": settings.tls_certificate_file,
        "TRAINYARD_TLS_KEY_FILE": settings.tls_key_file,
    }
    return {
        **os.environ,
        **{name: str(path.absolute()) for name, path in tls.items() if path is not None},
        "TRAINYARD_HOME": str(settings.home),
        "TRAINYARD_HOST": settings.host,
        "TRAINYARD_BEHIND_PROXY": str(settings.behind_proxy).lower(),
        "TRAINYARD_INSECURE_HTTP": str(settings.insecure_http).lower(),
    }
