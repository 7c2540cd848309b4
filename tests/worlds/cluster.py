"""A whole Trainyard made of separate processes, of which any can be killed, and its client.

Every server and worker has a home and a working directory of its own, as on a machine of its own:
they share the database, the broker and the store, and nothing else.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis, RedisError
from sqlalchemy.exc import OperationalError

from app.core.broker import _command
from app.core.database import Database
from app.settings import Timing
from tests.faults.visitor import Host, Visitor
from tests.worlds.program import Program
from tests.worlds.server import COMMAND

NULL_TIMING = Timing(
    lease_seconds=3,
    heartbeat_seconds=0.3,
    self_fence_seconds=2.5,
    request_poll_seconds=0.1,
    reconcile_seconds=0.3,
    doorbell_retry_seconds=1,
    restart_backoff_seconds=0.05,
)
"""Of tests whose trainers train nothing."""
REAL_TIMING = NULL_TIMING.model_copy(
    update={"lease_seconds": 30.0, "heartbeat_seconds": 2.0, "self_fence_seconds": 25.0}
)
"""Of tests with real trainings, which can keep a small machine busy for seconds."""

STATE_EVERY = 2
"""Epochs between training states: most kills then cost an epoch that is trained anew."""

SECRET_KEY = "of all servers of a site that is under test"


@dataclass
class Site(Visitor):
    """One database, one broker, one store, and the servers and workers on them."""

    folder: Path
    database_url: str
    timing: Timing = NULL_TIMING
    workers: list[Host] = field(default_factory=list)
    broker: Program = field(init=False)
    _sockets: Path = field(init=False)

    def __post_init__(self) -> None:
        self._sockets = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
        self.store_folder.mkdir(exist_ok=True)
        self.broker = Program(
            "broker",
            _command(self.broker_socket),
            dict(os.environ),
            self.folder,
            self.folder / "broker.log",
            ready=self._broker_answers,
            before_start=lambda: self.broker_socket.unlink(missing_ok=True),
        )

    @property
    def store_folder(self) -> Path:
        return self.folder / "store"

    @property
    def broker_socket(self) -> Path:
        """Where the broker listens."""
        return self._sockets / "broker.sock"

    @property
    def redis(self) -> Redis:
        return Redis(unix_socket_path=str(self.broker_socket), socket_timeout=5)

    @property
    def programs(self) -> list[Program]:
        return [self.broker, *(each.program for each in [*self.servers, *self.workers])]

    def environment(self, home: Path) -> dict[str, str]:
        """What a process of this site finds in its environment."""
        clean = {key: value for key, value in os.environ.items() if key[:9] != "TRAINYARD"}
        timing = {
            f"TRAINYARD_TIMING__{name.upper()}": str(value)
            for name, value in self.timing.model_dump().items()
        }
        return {
            **clean,
            **timing,
            "TRAINYARD_TESTING": "1",
            "TRAINYARD_STATE_EVERY": str(STATE_EVERY),
            "TRAINYARD_HOME": str(home),
            "TRAINYARD_DATABASE_URL": self.database_url,
            "TRAINYARD_BROKER_URL": f"redis+socket://{self.broker_socket}?virtual_host=0",
            "TRAINYARD_STORE_URL": self.store_folder.as_uri(),
            "TRAINYARD_SECRET_KEY": SECRET_KEY,
        }

    def add_server(self) -> Host:
        """Make a server with a home of its own; it is not started."""
        home = self._home("server", len(self.servers))
        note = home / "server.json"
        program = Program(
            home.name,
            [str(COMMAND), "server", "--port", "0"],
            self.environment(home),
            home,
            home.with_suffix(".log"),
            ready=note.exists,
            before_start=lambda: note.unlink(missing_ok=True),
        )
        self.servers.append(Host(home, program))
        return self.servers[-1]

    def add_worker(self, *, slot_alone: bool = True, queues: str = "default") -> Host:
        """Make a worker with a home of its own; it is not started.

        Args:
            slot_alone: run the process of its slot by itself, not below `python -m worker`.
            queues: of jobs, to serve.
        """
        home = self._home("worker", len(self.workers))
        serve = [sys.executable, "-m", "worker.serve", "cpu", queues]
        below = [sys.executable, "-m", "worker", "--slots", "cpu", "--queues", queues]
        program = Program(
            home.name,
            serve if slot_alone else below,
            self.environment(home),
            home,
            home.with_suffix(".log"),
        )
        self.workers.append(Host(home, program))
        return self.workers[-1]

    def _home(self, kind: str, number: int) -> Path:
        home = self.folder / f"{kind}-{number}"
        home.mkdir(exist_ok=True)
        return home

    def tails(self) -> str:
        """What every process said last."""
        return "\n".join(f"--- {each.name}\n{each.tail()}" for each in self.programs)

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The site's database, opened by the test itself."""
        database = Database(self.database_url, pool_size=3)
        yield database
        database.dispose()

    def database_is_free(self) -> bool:
        """Whether nobody holds a lock of the database for longer than a moment."""
        with self.database() as database, database.engine.connect() as connection:
            is_sqlite = database.is_sqlite
            patience = "PRAGMA busy_timeout = 500" if is_sqlite else "SET lock_timeout = 500"
            connection.exec_driver_sql(patience)
            try:
                connection.exec_driver_sql("UPDATE jobs SET revision = revision")
            except OperationalError:
                return False
            finally:
                connection.rollback()
        return True

    def _broker_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except (RedisError, OSError):
            return False

    def end(self) -> None:
        """Leave no process."""
        for program in self.programs:
            program.end()
        with suppress(OSError):
            self.broker_socket.unlink(missing_ok=True)
            self._sockets.rmdir()


@contextmanager
def a_site(folder: Path, database_url: str, timing: Timing = NULL_TIMING) -> Iterator[Site]:
    """Run a broker and one server; workers are the test's to add."""
    folder.mkdir(parents=True, exist_ok=True)
    site = Site(folder, database_url, timing)
    try:
        site.broker.started()
        site.add_server().program.started()
        yield site
    finally:
        site.end()
