"""Clients that repeat requests over persistent connections, in a separate process.

`python -m benchmarks.load_client REQUEST.json ANSWER.json` writes one JSON object. It reads only
the status and length of an answer, to leave a machine with two cores to the server.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
NUMBER = "987654321"
"""What is replaced in a body by the number of the request, so that no two bodies are equal."""
FIRST_NUMBER = 100_000_000
"""Numbers are as long as what they replace."""


@dataclass(frozen=True)
class Target:
    """What is asked for: its URL, and the headers of a request for it."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Load:
    """The requests, the clients and the duration; only answers with `status` count.

    Attributes:
        targets: on one server; each client asks for them in turn, beginning at another one.
        method: of all requests.
        body: of all requests, in which `NUMBER` is replaced.
        status: of the answers that count.
        clients: at the same time.
        seconds: after which no client asks again.
        first: number of the first request.
    """

    targets: Sequence[Target]
    method: str
    body: str
    status: int
    clients: int
    seconds: float
    first: int = FIRST_NUMBER


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
    """One connection that sends the next request as soon as an answer is complete."""

    def __init__(self, requests: Iterator[bytes], load: Load, tally: Tally) -> None:
        self._requests = requests
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
        """Send the next request."""
        request = next(self._requests)
        self._sent_at = time.perf_counter()
        self._transport.write(request)

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
    address = urlsplit(load.targets[0].url)
    tally, numbers = Tally(), count(load.first)
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(load.clients):
        requests = requests_of(load, number, numbers)
        _, client = await loop.create_connection(
            partial(Client, requests, load, tally), address.hostname or "", address.port or 80
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


def requests_of(load: Load, client: int, numbers: Iterator[int]) -> Iterator[bytes]:
    """Yield the requests of one client without end."""
    heads = [_head(load, target) for target in load.targets]
    body = load.body.encode()
    for turn in count(client):
        request = heads[turn % len(heads)]
        yield request + body.replace(NUMBER.encode(), b"%d" % next(numbers))


def _head(load: Load, target: Target) -> bytes:
    address = urlsplit(target.url)
    headers = {"Host": address.netloc, **target.headers}
    if load.body:
        length = str(len(load.body.encode()))
        headers |= {"Content-Type": "application/json", "Content-Length": length}
    path = address.path + (f"?{address.query}" if address.query else "")
    lines = [f"{load.method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + HEAD_END


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(LENGTH):
            return int(line[len(LENGTH) :])
    return 0


def main() -> None:
    """Read the load from the first file of the command line; write the tally to the second."""
    request, answer = map(Path, sys.argv[1:])
    asked: dict[str, Any] = json.loads(request.read_text())
    targets = [Target(**each) for each in asked.pop("targets")]
    tally = uvloop.run(put_load(Load(targets, **asked)))
    answer.write_text(json.dumps(asdict(tally)))


if __name__ == "__main__":
    main()
