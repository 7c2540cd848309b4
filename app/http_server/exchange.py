"""One request and its answer, as the application sees them: the `receive` and `send` of ASGI."""

import asyncio
import re
from http import HTTPStatus
from typing import Final, Protocol

from starlette.types import Message, Scope

from app.http_server.writing import RawHeaders, Writer

HIGH_WATER_BYTES: Final = 64 * 1024
BAD_NAME: Final = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]|\A\Z")
BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
EVENT_STREAM: Final = b"text/event-stream"
STREAM_WRITE_SECONDS: Final = 10.0
STREAM_KERNEL_BYTES: Final = 64 * 1024
"""Linux doubles it. Without a bound it may keep megabytes for each client that does not read."""
WITHOUT_BODY: Final = frozenset({204, 304})
REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


class Reader(Protocol):
    """What an exchange tells its connection."""

    def wants_body(self, exchange: "Exchange") -> None:
        """The application waits for the body, or for the client to leave."""

    def has_body(self, exchange: "Exchange") -> None:
        """The application no longer waits."""

    def answered(self, exchange: "Exchange") -> None:
        """The answer is complete."""


class Exchange:
    """The state of one request and its answer."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        scope: Scope,
        *,
        keeps_alive: bool,
        expects_continue: bool,
    ) -> None:
        self.scope = scope
        self.keeps_alive = keeps_alive
        self.request_complete = False
        self.disconnected = False
        self.started = False
        self.answered = False
        self._reader = reader
        self._writer = writer
        self._expects_continue = expects_continue
        self.waiting_bytes = 0
        self._pieces: list[bytes] = []
        self._told_complete = False
        self._half_closed = False
        self._wake = asyncio.Event()
        self._chunked = False
        self._missing = 0

    def add_body(self, payload: bytes, *, complete: bool) -> None:
        """Hand a part of the body to the application."""
        if payload and not self.answered:
            self._pieces.append(payload)
            self.waiting_bytes += len(payload)
        self.request_complete = complete
        if payload or complete:
            self._wake.set()

    def check_answered(self) -> None:
        """Raise RuntimeError if the application gave a client that is there no complete answer."""
        if not self.answered and not self.disconnected and not self._half_closed:
            raise RuntimeError("the application returned without an answer")

    def disconnect(self) -> None:
        """Tell the application that the client has left, and send nothing more."""
        self.disconnected = True
        self._wake.set()

    def half_close(self) -> None:
        """Tell the application that the client has left, but still send a complete answer.

        The client may have closed only its sending half.
        """
        self._half_closed = True
        self._wake.set()

    async def receive(self) -> Message:
        """Return a part of the body, or that the client has left. Called by the application."""
        if self._expects_continue and not self.started and not self.request_complete:
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expects_continue = False
        if not self._has_news():
            self._reader.wants_body(self)
        try:
            while not self._has_news():
                self._wake.clear()
                await self._wake.wait()
            # What arrived before the client left is still delivered.
            return self._part() if self._has_part() else {"type": "http.disconnect"}
        finally:
            self._reader.has_body(self)

    def _has_news(self) -> bool:
        has_left = self.disconnected or self._half_closed
        return has_left or self.answered or self._has_part()

    def _has_part(self) -> bool:
        unread_end = self.request_complete and not self._told_complete
        return not self.answered and (bool(self._pieces) or unread_end)

    def _part(self) -> Message:
        pieces, self._pieces, self.waiting_bytes = self._pieces, [], 0
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._told_complete = self.request_complete
        return {"type": "http.request", "body": body, "more_body": not self.request_complete}

    async def send(self, message: Message) -> None:
        """Send a part of the answer. Called by the application.

        Raises:
            RuntimeError: the application breaks the protocol; nothing of this message is sent.
        """
        await self._writer.drain()
        if self.disconnected:
            return
        if not self.started and message["type"] == "http.response.start":
            self._start(message["status"], list(message.get("headers", [])))
        elif self.started and not self.answered and message["type"] == "http.response.body":
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {message['type']}")

    def _start(self, status: int, given: RawHeaders) -> None:
        headers = [*self._writer.default_headers, *((n.lower(), v) for n, v in given)]
        if any(BAD_NAME.search(name) or BAD_VALUE.search(value) for name, value in headers):
            raise RuntimeError("a header of the answer has a forbidden character")
        named = dict(headers)
        if named.get(b"content-type", b"").startswith(EVENT_STREAM):
            # It has no end and may be silent, so a client's rate says nothing about it.
            self.keeps_alive = False
            self._writer.bound_each_write(STREAM_WRITE_SECONDS, kernel_bytes=STREAM_KERNEL_BYTES)
        self.keeps_alive &= self.request_complete and b"close" not in named.get(b"connection", b"")
        if self.scope["method"] != "HEAD" and status not in WITHOUT_BODY:
            length = named.get(b"content-length")
            self._missing = int(length) if length is not None else 0
            if length is None and self.scope["http_version"] == "1.0":
                self._missing = -1  # the end of the connection ends the body
            elif length is None:
                self._chunked = True
                headers.append((b"transfer-encoding", b"chunked"))
        if not self.keeps_alive and b"connection" not in named:
            headers.append((b"connection", b"close"))
        self.started = True
        self._writer.write(encoded_head(status, headers))

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] != "HEAD":
            self._write_body(body, more=more)
        if more:
            return
        self.answered = True
        self._wake.set()
        self._reader.answered(self)

    def _write_body(self, body: bytes, *, more: bool) -> None:
        if self._chunked:
            end = b"" if more else b"0\r\n\r\n"
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self._writer.write(chunk + end)
            return
        if self._missing >= 0:
            self._missing -= len(body)
            if self._missing < 0 or (self._missing and not more):
                raise RuntimeError("the answer does not have the length that it announces")
        if body:
            self._writer.write(body)


def encoded_head(status: int, headers: RawHeaders) -> bytes:
    """Return the bytes of an answer's head."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b""))]
    lines += [b"%b: %b\r\n" % each for each in headers]
    return b"".join([*lines, b"\r\n"])
