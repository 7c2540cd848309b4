"""A client of a real server that reads a stream in a thread and keeps its messages."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import httpx2 as httpx

from tests.waiting import eventually

SECONDS = 30.0


class Reader:
    """Reads one stream until it ends."""

    def __init__(self, url: str, key: str, *, after: str | None = None) -> None:
        self.messages: list[httpx.ServerSentEvent] = []
        self.ended = threading.Event()
        self._url = f"{url}/v1/events/stream"
        self._headers = {"Authorization": f"Bearer {key}"} | (
            {"Last-Event-ID": after} if after else {}
        )
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self) -> Self:
        """Start to read, and wait for the first message."""
        self._thread.start()
        self.wait_for("hello")
        return self

    def _read(self) -> None:
        with (
            suppress(httpx.HTTPError),
            httpx.stream("GET", self._url, headers=self._headers, timeout=SECONDS) as response,
        ):
            for message in httpx.EventSource(response):
                self.messages.append(message)
        self.ended.set()

    def named(self, event: str) -> list[dict[str, Any]]:
        return [json.loads(each.data) for each in self.messages if each.event == event]

    @property
    def last_id(self) -> str:
        return next(each.id for each in reversed(self.messages) if each.id)

    def jobs(self) -> list[str]:
        """Return the jobs of the events, in order."""
        return [each["job"] for each in self.named("event")]

    def wait_for(self, event: str, text: str = "") -> dict[str, Any]:
        """Wait for a message with a text in its data; return its data."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.named(event) if text in json.dumps(each)]

        missing = f"no {event} {text}"
        return eventually(found, within=SECONDS, message=lambda: f"{missing}: {self.messages}")[0]


@contextmanager
def reading(url: str, key: str, *, after: str | None = None) -> Iterator[Reader]:
    """Read a stream while the block runs. The server or the end of the test ends it."""
    yield Reader(url, key, after=after).start()
