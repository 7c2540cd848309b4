"""Watchers of the event stream, or clients that poll the events, in a separate process.

`python -m benchmarks.stream_watchers REQUEST.json ANSWER.json` writes when each watcher saw each
mark. It creates the file ANSWER.json.ready when all of them wait for events.
"""

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

POLL_SECONDS = 2.0
MARK = re.compile(rb'"mark":(\d+)')
NEXT = re.compile(rb'"next":"([^"]+)"')
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
CONNECTING = 50
"""Watchers that connect at the same time."""


@dataclass(frozen=True)
class Watch:
    """Who watches what.

    Attributes:
        url: of the server.
        headers: of every request.
        watchers: their number.
        polls: whether they poll every two seconds instead of watching the stream.
        last: the mark after which they leave.
    """

    url: str
    headers: Mapping[str, str]
    watchers: int
    polls: bool
    last: int


@dataclass
class Seen:
    """Pairs of a mark and the time of the monotonic clock at which one watcher saw it."""

    marks: list[tuple[int, float]] = field(default_factory=list)


async def connected(watch: Watch) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to the server."""
    place = urlsplit(watch.url)
    return await asyncio.open_connection(place.hostname, place.port)


def request(watch: Watch, path: str) -> bytes:
    """Return the bytes of a GET request."""
    headers = {"Host": urlsplit(watch.url).netloc, **watch.headers}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def follow(
    watch: Watch, seen: Seen, gate: asyncio.Semaphore, waiting: asyncio.Barrier
) -> None:
    """Watch the stream until the last mark."""
    async with gate:
        reader, writer = await connected(watch)
        writer.write(request(watch, "/v1/events/stream"))
        while b"event: hello" not in await reader.readline():
            pass
    await waiting.wait()
    number = -1
    while number < watch.last:
        found = MARK.search(await reader.readline())
        if found is not None:
            number = int(found[1])
            seen.marks.append((number, time.monotonic()))
    writer.close()


async def poll(watch: Watch, seen: Seen, gate: asyncio.Semaphore, waiting: asyncio.Barrier) -> None:
    """Poll the events every two seconds until the last mark."""
    async with gate:
        reader, writer = await connected(watch)
        after = await polled(watch, reader, writer, "/v1/events")
    await waiting.wait()
    await asyncio.sleep(random.uniform(0, POLL_SECONDS))
    number = -1
    position = NEXT.findall(after)[-1].decode()
    while number < watch.last:
        body = await polled(watch, reader, writer, f"/v1/events?after={position}&limit=200")
        for found in MARK.findall(body):
            number = int(found)
            seen.marks.append((number, time.monotonic()))
        position = NEXT.findall(body)[-1].decode()
        await asyncio.sleep(POLL_SECONDS)
    writer.close()


async def polled(
    watch: Watch, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str
) -> bytes:
    """Return the body of the answer to one request."""
    writer.write(request(watch, path))
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200") or length is None:
        raise ConnectionError(head.decode())
    return await reader.readexactly(int(length[1]))


async def watch_all(watch: Watch, on_ready: Callable[[], None]) -> Seen:
    """Run all watchers to their last mark; call `on_ready` when all of them wait."""
    seen, gate, waiting = Seen(), asyncio.Semaphore(CONNECTING), asyncio.Barrier(watch.watchers + 1)
    one = poll if watch.polls else follow
    async with asyncio.TaskGroup() as group:
        for _ in range(watch.watchers):
            group.create_task(one(watch, seen, gate, waiting))
        await waiting.wait()
        on_ready()
    return seen


def main() -> None:
    """Read the watch from the first file of the command line; write what was seen to the second."""
    given, answer = map(Path, sys.argv[1:])
    asked: dict[str, Any] = json.loads(given.read_text())
    ready = answer.with_name(answer.name + ".ready")
    answer.write_text(json.dumps(asdict(uvloop.run(watch_all(Watch(**asked), ready.touch)))))


if __name__ == "__main__":
    main()
