"""Download files: resumed where they broke off, checked, and put in place at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from trainyard.core.connection import Connection, Patience
from trainyard.core.steps import Answer, Broken, Operation, Receive, Request, call
from trainyard.errors import DamagedDownloadError, UnavailableError, UnreachableError
from trainyard.operations.parts import Part, open_part
from trainyard.operations.waiting import pause

ATTEMPTS: Final = 2
"""Whole downloads: a part that an earlier program left may be damaged."""

OnBytes = Callable[[int, int], None]
"""Told how many bytes of how many have arrived; of 0 if nobody knows."""


class _Changed(Exception):
    """The file on the server is another one than the part that is here."""


@dataclass(frozen=True)
class Download:
    """A file to fetch.

    Args:
        address: the path of the route.
        target: the file to write; one that exists is replaced when all bytes are there.
        params: of the query.
        on_bytes: told about the bytes that arrived.
    """

    address: str
    target: Path
    params: Mapping[str, Any] = field(default_factory=dict)
    on_bytes: OnBytes | None = None

    def request(self, method: str, headers: Mapping[str, str] | None = None) -> Request:
        """Return a request for the file."""
        return Request(method, self.address, self.params, headers or {})


def download(connection: Connection, wanted: Download) -> Operation[Path]:
    """Download a file whose `ETag` is its SHA-256.

    What an earlier call left beside the target is used.

    Returns:
        The target.

    Raises:
        DamagedDownloadError: the bytes are not those of the digest.
        UnreachableError: the server did not answer for too long, and nothing more arrived.
        ProblemError: the server does not give the file.
    """
    for _ in range(ATTEMPTS):
        head = yield from connection.send(wanted.request("HEAD"))
        digest = head.headers.get("etag", "").strip('"')
        size = int(head.headers.get("content-length", "0"))
        with (yield from open_part(wanted.target, digest)) as part:
            try:
                yield from _fill(connection, wanted, part, (digest, size))
            except _Changed:
                part.remove()
                continue
            if (yield from call(part.finish)):
                return wanted.target
            part.remove()
    raise DamagedDownloadError(
        f"The bytes of {wanted.address} are not those that the server announced."
    )


def _fill(
    connection: Connection, wanted: Download, part: Part, announced: tuple[str, int]
) -> Operation[None]:
    digest, size = announced
    patience = Patience(connection.patience_seconds)
    while part.size < size:
        before = part.size
        headers = {"Range": f"bytes={before}-", "If-Range": f'"{digest}"'}
        try:
            answer = yield from connection.open(wanted.request("GET", headers))
            if answer.headers.get("etag", "").strip('"') != digest:
                raise _Changed
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                yield from call(part.clear)
            yield from _receive(connection, wanted, part, size)
        except (UnreachableError, UnavailableError) as error:
            if part.size > before:
                patience.renew()
            yield from pause(connection, patience, error)


def download_stream(connection: Connection, wanted: Download) -> Operation[Path]:
    """Download a file that the server makes while it sends it; it cannot be resumed.

    Returns:
        The target.

    Raises:
        UnreachableError: the connection broke again and again.
        ProblemError: the server does not give the file.
    """
    patience = Patience(connection.patience_seconds)
    while True:
        with (yield from open_part(wanted.target, None)) as part:
            try:
                answer = yield from connection.open(wanted.request("GET"))
                yield from _receive(connection, wanted, part, _length(answer))
            except (UnreachableError, UnavailableError) as error:
                part.remove()
                yield from pause(connection, patience, error)
                continue
            yield from call(part.finish)
            return wanted.target


def _receive(connection: Connection, wanted: Download, part: Part, size: int) -> Operation[None]:
    while True:
        try:
            piece: bytes = yield Receive()
        except Broken as error:
            raise UnreachableError(connection.url, str(error)) from error
        if not piece:
            return
        yield from call(partial(part.add, piece))
        if wanted.on_bytes is not None:
            wanted.on_bytes(part.size, size)


def _length(answer: Answer) -> int:
    return int(answer.headers.get("content-length", "0"))
