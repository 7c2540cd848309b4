"""A server in this process, on a thread, with an application that reports what it was given."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from app.http_server.protocol import ConnectionContext
from app.http_server.record import CutReason
from app.http_server.writing import RawHeaders
from app.listening import listen
from app.server import Server, server_of
from app.settings import Settings
from tests.http_server.raw_connection import RawConnection
from tests.waiting import eventually

SHORT = {"head_seconds": 0.4, "idle_seconds": 0.4, "slow_seconds": 0.4}
PIECE = b"x" * 65536
EVENT_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]
STOP_SECONDS = 30


@dataclass
class Application:
    """Answers with what it saw. Some paths do something else, see `__call__`."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    left: int = 0
    failures: list[BaseException] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            await self._answer(scope, receive, send)
        except BaseException as error:
            self.failures.append(error)
            raise

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/early":
            await answer(send, b"early", status=401)
        elif scope["path"] == "/large":
            await stream(send, pieces=int(scope["query_string"]))
        elif scope["path"] == "/events":
            await stream(send, pieces=int(scope["query_string"]), headers=EVENT_STREAM)
        elif scope["path"] == "/wait":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left += 1
        elif scope["path"] == "/fail":
            raise ValueError("made to fail")
        else:
            await self._echo(scope, receive, send)

    async def _echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body, more = body + message["body"], message["more_body"]
        names = ("method", "path", "scheme", "client", "http_version")
        seen = {name: scope[name] for name in names}
        fields = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        seen |= {"headers": fields, "body": body.decode("latin-1")}
        self.seen.append(seen)
        await answer(send, json.dumps(seen).encode())

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


async def answer(send: Send, body: bytes, *, status: int = 200) -> None:
    length = str(len(body)).encode()
    start: Message = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


async def stream(send: Send, *, pieces: int, headers: RawHeaders | None = None) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers or []})
    for _ in range(pieces):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@dataclass(frozen=True)
class Served:
    """A running server, and what its application saw."""

    host: str
    port: int
    server: Server
    app: Application

    def connect(self, source: str = "127.0.0.1") -> RawConnection:
        where = (self.host, self.port)
        return RawConnection(socket.create_connection(where, source_address=(source, 0)))

    def is_alive(self) -> bool:
        with self.connect() as connection:
            return connection.send(request("GET", "/alive")).answer().status == 200

    @property
    def shared(self) -> ConnectionContext:
        shared: ConnectionContext = self.server.servers[0]._shared  # type: ignore[attr-defined] # an Acceptor
        return shared

    @property
    def counts(self) -> dict[CutReason, int]:
        """How many connections were refused or cut, by reason."""
        return dict(self.shared.record.counts)

    def wait_until_free(self) -> None:
        """Wait until no connection and no task is left."""
        state = self.server.server_state
        eventually(
            lambda: not state.connections and not state.tasks and not self.shared.admission._open,
            within=10,
            message=lambda: f"{state.connections} {state.tasks} {self.shared.admission._open}",
        )


def request(method: str, target: str, *lines: str, body: bytes = b"") -> bytes:
    """Return a request; one with a body announces its length."""
    length = [f"Content-Length: {len(body)}"] if body else []
    head = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *length, *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


@contextmanager
def served(
    home: Path,
    *,
    tls: SSLContext | None = None,
    settings: dict[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
) -> Iterator[Served]:
    """Run a server with these limits while the block runs."""
    home.mkdir(exist_ok=True)
    app = Application()
    given = {"home": home, "connections": limits or {}, **(settings or {})}
    server = server_of(app, Settings.model_validate(given), tls=tls, on_stop=lambda: None)
    listener = listen("127.0.0.1", 0)
    host, port = listener.getsockname()
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    eventually(lambda: server.started or not thread.is_alive(), within=STOP_SECONDS)
    try:
        yield Served(host, port, server, app)
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS)
        assert not thread.is_alive()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def in_loop(server: Served) -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = server.server.servers[0]._task.get_loop()  # type: ignore[attr-defined] # an Acceptor
    return loop
