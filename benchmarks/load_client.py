"""Clients that repeat one request over persistent connections, in a separate process.

`python -m benchmarks.load_client REQUEST.json ANSWER.json` writes one JSON object. It reads only
the status and length of an answer, to leave a machine with two cores to the server.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass(frozen=True)
class Load:
    """The request, the clients and the duration; only answers with `status` count."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: str
    status: int
    clients: int
    seconds: float


@dataclass
class Tally:
    """The number of answers, the seconds in which they came, and the milliseconds of each."""

    answers: int = 0
    refused: int = 0
    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    first_refusal: str = ""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


class Client(asyncio.Protocol):
    """One connection that repeats the request as soon as its answer is complete."""

    def __init__(self, request: bytes, load: Load, tally: Tally) -> None:
        self._request = request
        self._wanted = f"HTTP/1.1 {load.status} ".encode()
        self._tally = tally
        self._transport: asyncio.Transport
        self._received = b""
        self._sent_at = 0.0
        self.until = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport; the event loop calls this."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is no subclass

    def ask(self) -> None:
        """Send the request."""
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def leave(self) -> None:
        """Close the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Handle a piece of an answer; the event loop calls this."""
        self._received += data
        head, ended, body = self._received.partition(HEAD_END)
        if not ended or len(body) < _length(head):
            return
        self._count()
        self._received = b""
        if time.perf_counter() < self.until:
            self.ask()
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle a closed connection, an error before `done`; the event loop calls this."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _count(self) -> None:
        if self._received.startswith(self._wanted):
            self._tally.answers += 1
            self._tally.milliseconds.append(1000 * (time.perf_counter() - self._sent_at))
        else:
            self._tally.refused += 1
            self._tally.first_refusal = self._tally.first_refusal or repr(self._received[:500])


async def put_load(load: Load) -> Tally:
    """Run all clients concurrently; return once the last has its answer."""
    address = urlsplit(load.url)
    request = _request(load)
    tally = Tally()
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(load.clients):
        _, client = await loop.create_connection(
            lambda: Client(request, load, tally), address.hostname or "", address.port or 80
        )
        clients.append(client)
    began = time.perf_counter()
    for client in clients:
        client.until = began + load.seconds
        client.ask()
    await asyncio.gather(*(client.done for client in clients))
    tally.seconds = time.perf_counter() - began
    for client in clients:
        client.leave()
    await asyncio.sleep(0)  # the loop closes the sockets in its next iteration
    return tally


def _request(load: Load) -> bytes:
    address = urlsplit(load.url)
    body = load.body.encode()
    headers = {"Host": address.netloc, **load.headers}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{load.method} {address.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + HEAD_END + body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(LENGTH):
            return int(line[len(LENGTH) :])
    return 0


def main() -> None:
    """Read the load from the first file of the command line; write the tally to the second."""
    request, answer = map(Path, sys.argv[1:])
    asked: dict[str, Any] = json.loads(request.read_text())
    tally = uvloop.run(put_load(Load(**asked)))
    answer.write_text(json.dumps(asdict(tally)))


if __name__ == "__main__":
    main()
