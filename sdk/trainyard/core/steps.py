"""What an operation asks of its driver.

An operation is a generator. It yields steps, gets the outcome of each, and returns its result; it
never touches a socket itself. So each operation is written once, and a driver with blocking calls
and one with `await` run the same code.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

Operation = Generator["Step", Any, T]
"""An operation that returns a T."""

ANSWER_SECONDS = 60.0
"""How long a server may be silent before the connection counts as broken."""


@dataclass(frozen=True)
class FileContent:
    """A part of a file as the body of a request, read while it is sent.

    Args:
        path: of the file.
        start: the first byte to send.
        length: how many bytes to send.
        on_bytes: told the number of bytes of each piece that was sent.
    """

    path: Path
    start: int
    length: int
    on_bytes: Callable[[int], None] | None = None


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Args:
        method: of HTTP.
        path: below the address of the server, such as `/v1/jobs`.
        params: of the query; None values are left out, lists repeat their name.
        headers: besides those that every request has.
        content: the body.
        is_repeatable: whether repeating it after a broken connection does nothing twice.
        silent_seconds: how long the server may be silent.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | FileContent | None = None
    is_repeatable: bool = False
    silent_seconds: float = ANSWER_SECONDS


@dataclass(frozen=True)
class Answer:
    """The response to a request; `content` is empty for one that is still being received."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""


class NotConnected(Exception):
    """No connection could be made, so the server has not seen the request."""


class Broken(Exception):
    """The connection broke; the server may have seen the request."""


@dataclass(frozen=True)
class Send:
    """Send a request and receive the whole response: `Answer`, `NotConnected` or `Broken`."""

    request: Request


@dataclass(frozen=True)
class Open:
    """Send a request and receive the head of the response; an earlier one is closed."""

    request: Request


@dataclass(frozen=True)
class Receive:
    """Receive the next bytes of the open response; empty at its end. `Broken` if it breaks."""


@dataclass(frozen=True)
class Close:
    """Close the open response."""


@dataclass(frozen=True)
class Wait:
    """Let some seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Call:
    """Call a function that may block, such as one that reads files."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Emit:
    """Hand an item to the caller of an operation that has many."""

    item: Any


Step = Send | Open | Receive | Close | Wait | Call | Emit


def call(function: Callable[[], T]) -> Operation[T]:
    """Call a function that may block, and return its result."""
    result: T = yield Call(function)
    return result
