"""A server process for browsers, on a port that it keeps when it is killed and started again."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
from playwright.sync_api import BrowserContext

from app.accounts.browser.cookies import LOOPBACK_NAME
from app.core.database import Database
from tests.api.browser.browsers import session_in, set_password
from tests.worlds.program import Program
from tests.worlds.rows import Rows, a_job, a_ready_dataset
from tests.worlds.server import COMMAND, NO_BROKER


@dataclass(frozen=True)
class Site:
    """A server that browsers visit, its database, and rows of its first user."""

    url: str
    home: Path
    program: Program
    database: Database
    rows: Rows

    def a_job(self, **columns: object) -> str:
        """Add a queued job without an event; see `tests.worlds.rows.a_job`."""
        return a_job(self.database, self.rows, **columns)

    def submit(self, **changes: object) -> str:
        """Submit a job as a program does; return its id."""
        spec = {"dataset": self.rows.dataset_id, "model": "yolo26n.yaml", **changes}
        with self.client as client:
            answer = client.post("/v1/jobs", json=spec)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def sign_in(self, *contexts: BrowserContext) -> None:
        """Give browser profiles the cookie of one new session of the first user."""
        token = session_in(self.database)[1]
        for context in contexts:
            context.add_cookies([{"name": LOOPBACK_NAME, "value": token, "url": self.url}])

    @property
    def client(self) -> httpx.Client:
        """A client with the first API key."""
        key = (self.home / "api-key").read_text().strip()
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=30
        )


@contextmanager
def a_site(folder: Path, template: Path, **environment: str) -> Iterator[Site]:
    """Run `trainyard server` without a broker on a copy of an empty database.

    Args:
        folder: for the home and the database.
        template: the migrated SQLite file.
        environment: more variables for the server.
    """
    home = folder / "home"
    home.mkdir(parents=True)
    path = folder / "trainyard.db"
    path.write_bytes(template.read_bytes())
    database = Database(f"sqlite:///{path}", pool_size=3)
    port = a_free_port()
    program = _server(home, str(database.engine.url), port, environment)
    try:
        program.started()
        set_password(database)
        rows = a_ready_dataset(database)
        yield Site(f"http://127.0.0.1:{port}", home, program, database, rows)
    finally:
        program.end()
        database.dispose()


def a_free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _server(home: Path, database_url: str, port: int, more: dict[str, str]) -> Program:
    clean = {name: value for name, value in os.environ.items() if name[:9] != "TRAINYARD"}
    own = {
        "TRAINYARD_HOME": str(home),
        "TRAINYARD_DATABASE_URL": database_url,
        "TRAINYARD_BROKER_URL": NO_BROKER,
    }
    note = home / "server.json"
    return Program(
        "server",
        [str(COMMAND), "server", "--port", str(port)],
        {**clean, **own, **more},
        home,
        home.with_suffix(".log"),
        ready=note.exists,
        before_start=lambda: note.unlink(missing_ok=True),
    )
