"""Follow one job until it has ended: its progress and its events, as they happen.

`KEY=… python examples/follow.py URL JOB`. It needs httpx2 only, and connects again when the
connection breaks or the server restarts, without losing or repeating an event.
"""

import os
import sys
from collections.abc import Iterator
from threading import Event
from typing import Any

import httpx2

ENDED = {"succeeded", "failed", "cancelled"}
PAUSE_SECONDS = 1.0
SILENT_SECONDS = 45.0
"""A stream has a comment every 15 seconds; one that is silent for longer is broken."""


def messages(client: httpx2.Client, path: str) -> Iterator[tuple[str, Any]]:
    """Yield name and data of each message, over as many connections as it takes."""
    last = ""
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        try:
            with client.stream("GET", path, headers=headers) as response:
                response.raise_for_status()
                for message in httpx2.EventSource(response):
                    last = message.id or last
                    if message.data:  # the first one has only the time before a new connection
                        yield message.event, message.json()
        except httpx2.TransportError as error:
            print(f"disconnected: {error}", file=sys.stderr)
        Event().wait(PAUSE_SECONDS)


def follow(client: httpx2.Client, job: str) -> str:
    """Print what happens until the job has ended, and return its state."""
    for name, data in messages(client, f"/v1/jobs/{job}/events/stream"):
        if name == "bye" and data["reason"] != "shutdown":
            sys.exit(f"the server ended the stream: {data['reason']}")
        if name == "tick":
            print(f"{data['jobs'][job]['done']:.0%} {data['jobs'][job]['losses']}")
        if name == "event":
            print(data["created_at"], data["type"], data["data"])
        if name in {"hello", "event"}:
            # After hello nothing can be missed, so the job is read only then.
            state: str = client.get(f"/v1/jobs/{job}").raise_for_status().json()["state"]
            if state in ENDED:
                return state
    raise AssertionError("the messages have no end")


if __name__ == "__main__":
    url, followed = sys.argv[1:]
    key = {"Authorization": f"Bearer {os.environ['KEY']}"}
    with httpx2.Client(base_url=url, headers=key, timeout=SILENT_SECONDS) as connection:
        print(follow(connection, followed))
