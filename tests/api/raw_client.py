"""A client that sends any bytes to a server and reads one answer."""

import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fastapi.routing import APIRoute

from app.core.database import Database
from app.main import ROUTERS
from tests.worlds.server import a_server

SECONDS = 20
PARAMETER = re.compile(r"\{\w+\}")
JOB_ID = "job_" + "0" * 26


@dataclass(frozen=True)
class Answer:
    """One answer, and whether the server closed the connection after it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    closed: bool

    @property
    def slug(self) -> str:
        """Check that the answer is a problem, and return its slug."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["x-request-id"] == json.loads(self.body)["request_id"]
        slug: str = json.loads(self.body)["type"].removeprefix("urn:trainyard:problem:")
        return slug


@dataclass(frozen=True)
class RawClient:
    """A client of one server: its address, its first key, and its database."""

    host: str
    port: int
    key: str
    database: Database

    def head(
        self, first: str, *lines: str, host: str | None = None, key: str | None = None
    ) -> bytes:
        """Return a request's head with a valid Host and key; `lines` are further headers."""
        named = host if host is not None else f"{self.host}:{self.port}"
        start = [f"{first} HTTP/1.1", f"Host: {named}", f"Authorization: Bearer {key or self.key}"]
        return "\r\n".join([*start, *lines, "", ""]).encode("latin-1")

    def send(self, content: bytes, *, then_leave: bool = True) -> Answer:
        """Send bytes, close the sending side if `then_leave`, and read the first answer."""
        with socket.create_connection((self.host, self.port), timeout=SECONDS) as connection:
            try:
                connection.sendall(content)
                if then_leave:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the server has already answered and closed the connection
            return read_answer(connection, has_body=not content.startswith(b"HEAD "))

    def is_alive(self) -> bool:
        return self.send(self.head("GET /livez"), then_leave=False).status == 200


def read_answer(connection: socket.socket, *, has_body: bool = True) -> Answer:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        assert piece, f"the connection ended without an answer: {received!r}"
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    length = int(headers.get("content-length", "0")) if has_body else 0
    while len(body) < length and (piece := connection.recv(65536)):
        body += piece
    return Answer(int(first.split()[1]), headers, body, closed=is_closed(connection, headers))


def is_closed(connection: socket.socket, headers: Mapping[str, str]) -> bool:
    if headers.get("connection") != "close":
        return False
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@contextmanager
def a_raw_client(folder: Path, template: Path) -> Iterator[RawClient]:
    """Run a server as a process on a copy of the database `template`."""
    url = f"sqlite:///{folder / 'trainyard.db'}"
    (folder / "trainyard.db").write_bytes(template.read_bytes())
    with a_server(folder / "home", url) as server:
        place = urlsplit(server.url)
        database = Database(url)
        yield RawClient(place.hostname or "", place.port or 0, server.key, database)
        database.dispose()


def paths() -> list[tuple[str, str]]:
    """Return method and path of every route with parameters or a prefix to vary."""
    found = {
        (min(route.methods or ()), route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        if route.path.startswith("/v1")
    }
    return sorted(found)
