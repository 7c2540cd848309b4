"""Send one request to a receiver, connected to an address that was checked.

httpcore2 follows no redirects, keeps no cookies, reads no proxies from the environment and decodes
no compression. Everything together takes at most `Deadline` seconds.
"""

import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpcore2

from app.webhooks.addresses import Address
from app.webhooks.destinations import Destination

CONNECT_SECONDS: Final = 5.0
"""For the name servers, for the connection to one address, and for TLS."""

PATIENCE_SECONDS: Final = 0.5
"""While it waits for an answer, a send looks this often whether the server stops."""

MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_RAW_BYTES: Final = 256 * 1024
"""Of an answer with its headers, interim answers and framing; the bound of a flood of these."""


class Interrupted(Exception):
    """The server stops; the attempt does not count."""


class TlsFailed(httpcore2.ConnectError):
    """The receiver has no valid certificate, or does not speak TLS."""


@dataclass(frozen=True)
class Deadline:
    """When a send must have ended, by the monotonic clock, and whether the server stops."""

    ends_at: float
    is_stopping: Callable[[], bool]

    def left(self, most: float) -> float:
        """Return the remaining seconds, at most `most`.

        Raises:
            Interrupted: the server stops.
            httpcore2.ReadTimeout: the time is over.
        """
        if self.is_stopping():
            raise Interrupted
        left = min(self.ends_at - time.monotonic(), most)
        if left <= 0:
            message = "the time for this request is over"
            raise httpcore2.ReadTimeout(message)
        return left


@dataclass(frozen=True)
class Answer:
    """The status of an answer, and at most 64 KiB of its body."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Message:
    """A request: its headers, without `Host` and those of the framing, and its body."""

    headers: Mapping[str, str]
    body: bytes


def post(
    to: Destination,
    addresses: Sequence[Address],
    message: Message,
    deadline: Deadline,
    tls: ssl.SSLContext,
) -> Answer:
    """Send a request to the first of `addresses` that accepts a connection.

    Args:
        to: the URL; its host name is for TLS and for the header `Host`, and is not looked up.
        addresses: the checked addresses of the host.
        message: what is sent.
        deadline: bounds everything together.
        tls: checks the certificate of the receiver.

    Raises:
        httpcore2.TimeoutException: it took too long.
        httpcore2.ConnectError: no connection; `TlsFailed` if there was one, but TLS failed.
        httpcore2.NetworkError, httpcore2.ProtocolError: no complete answer in HTTP came back.
        Interrupted: the server stops.
    """
    url = httpcore2.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.target)
    framing = {"Host": to.authority, "Content-Length": str(len(message.body))}
    headers = {**framing, **message.headers, "Connection": "close"}
    request = httpcore2.Request("POST", url, headers=list(headers.items()), content=message.body)
    backend = _CheckedBackend(addresses, deadline)
    with httpcore2.HTTPConnection(
        request.url.origin, ssl_context=tls, network_backend=backend
    ) as connection:
        response = connection.handle_request(request)
        try:
            return Answer(response.status, _beginning(response.iter_stream()))
        finally:
            response.close()


def _beginning(pieces: Iterable[bytes]) -> bytes:
    body = b""
    for piece in pieces:
        body += piece
        if len(body) >= MAX_ANSWER_BYTES:
            break
    return body[:MAX_ANSWER_BYTES]


class _CheckedBackend(httpcore2.NetworkBackend):
    """Connects to one of the checked addresses, whatever host name is asked for."""

    def __init__(self, addresses: Sequence[Address], deadline: Deadline) -> None:
        self._addresses = addresses
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 -- the deadline is stricter
        local_address: str | None = None,  # noqa: ARG002 -- httpcore2's signature
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 -- the same
    ) -> httpcore2.NetworkStream:
        """Return a connection to the first address that accepts one."""
        failure: httpcore2.ConnectError | httpcore2.ConnectTimeout | None = None
        for address in self._addresses:
            left = self._deadline.left(CONNECT_SECONDS)
            try:
                stream = httpcore2.SyncBackend().connect_tcp(str(address), port, left)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return _BoundedStream(stream, self._deadline)
        raise failure or httpcore2.ConnectError(f"{host} has no address")


class _BoundedStream(httpcore2.NetworkStream):
    """A connection whose every operation ends at the deadline, and whose bytes are counted."""

    def __init__(self, inner: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline
        self._received = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 -- as above
        while True:
            left = self._deadline.left(PATIENCE_SECONDS)
            try:
                piece = self._inner.read(max_bytes, left)
            except httpcore2.ReadTimeout:
                continue  # `left` raises when the time is over
            self._received += len(piece)
            if self._received > MAX_RAW_BYTES:
                message = "the answer is too large"
                raise httpcore2.ReadError(message)
            return piece

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 -- as above
        self._inner.write(buffer, self._deadline.left(CONNECT_SECONDS))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 -- as above
    ) -> httpcore2.NetworkStream:
        left = self._deadline.left(CONNECT_SECONDS)
        try:
            inner = self._inner.start_tls(ssl_context, server_hostname, left)
        except httpcore2.ConnectError as error:
            raise TlsFailed(str(error)) from error
        return _BoundedStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 -- httpcore2's signature
        return self._inner.get_extra_info(info)
