"""The two framings of a body: a number of bytes, or chunks. A trailer is bounded and dropped.

Everything of a chunked body that is not payload has a limit: a size line, all of them together, and
the trailer. RFC 9110 6.5.1 forbids to merge a trailer into the headers: a proxy judges the head.
"""

import re
from typing import Final, Protocol

from app.core.errors import HeadTooLarge
from app.http_server.errors import MalformedRequest
from app.http_server.head import BAD_LINE_END, TOKEN

MAX_CHUNK_LINE_BYTES: Final = 1024
MAX_CHUNK_OVERHEAD_BYTES: Final = 16 * 1024
FREE_OVERHEAD_BYTES: Final = 16
"""Of each chunk; as in Go's net/http, which bounds the rest since CVE-2023-39326."""
MAX_TRAILER_BYTES: Final = 8 * 1024
MAX_STEPS: Final = 2000
"""Of one call, two for each chunk; other connections wait meanwhile."""

QUOTED: Final = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
EXTENSION: Final = rb";" + TOKEN + rb"(?:=(?:" + TOKEN + rb"|" + QUOTED + rb"))?"
SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:" + EXTENSION + rb")*")
"""RFC 9112, 7.1.1, without spaces: what other parsers read differently is refused."""
TRAILER: Final = re.compile(rb"(?:" + TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n")


class Body(Protocol):
    """A body that is taken from a buffer as its bytes arrive."""

    complete: bool
    in_trailer: bool

    def take(self, buffer: bytearray) -> bytes:
        """Remove from `buffer` what belongs to the body, and return its payload.

        Call again while this returns payload and the body is not complete.

        Raises:
            MalformedRequest: these are no chunks.
            HeadTooLarge: more bytes than allowed are not payload.
        """


class CountedBody:
    """A body of `length` bytes."""

    in_trailer = False

    def __init__(self, length: int) -> None:
        self._missing = length
        self.complete = length == 0

    def take(self, buffer: bytearray) -> bytes:
        """Take at most the missing bytes."""
        with memoryview(buffer) as view:
            payload = bytes(view[: self._missing])
        del buffer[: self._missing]
        self._missing -= len(payload)
        self.complete = self._missing == 0
        return payload


class ChunkedBody:
    """A body in chunks, with a trailer that is read and dropped."""

    def __init__(self) -> None:
        self.complete = False
        self.in_trailer = False
        self._in_chunk = False
        self._missing = 0  # of the current chunk, with the line end after it
        self._overhead = 0

    def take(self, buffer: bytearray) -> bytes:
        """Take whole size lines, and what has arrived of chunks and trailer."""
        pieces: list[bytes] = []
        position = 0  # the buffer is cut once: each cut moves what is left of it
        for _ in range(MAX_STEPS):
            if self.complete:
                break
            if self.in_trailer:
                taken = self._take_trailer(buffer, position)
            elif self._in_chunk:
                taken = self._take_chunk(buffer, position, pieces)
            else:
                taken = self._take_size(buffer, position)
            if taken == 0:
                break
            position += taken
        del buffer[:position]
        return b"".join(pieces)

    def _take_size(self, buffer: bytearray, start: int) -> int:
        end = buffer.find(b"\r\n", start, start + MAX_CHUNK_LINE_BYTES)
        if end < 0:
            self._refuse_long_line(buffer, start)
            return 0
        line = SIZE_LINE.fullmatch(buffer, start, end)
        if line is None:
            raise MalformedRequest("A chunk does not start with its size.")
        size = int(line[1], 16)
        self._overhead += end - start + 4 - FREE_OVERHEAD_BYTES - 2 * size
        self._overhead = max(self._overhead, 0)
        if self._overhead > MAX_CHUNK_OVERHEAD_BYTES:
            raise HeadTooLarge("The chunks of the body are mostly extensions.")
        if size == 0:
            self.in_trailer = True
        else:
            self._in_chunk, self._missing = True, size + 2
        return end + 2 - start

    def _refuse_long_line(self, buffer: bytearray, start: int) -> None:
        if len(buffer) - start >= MAX_CHUNK_LINE_BYTES:
            raise HeadTooLarge(f"A chunk's first line exceeds {MAX_CHUNK_LINE_BYTES} bytes.")
        if BAD_LINE_END.search(buffer, start):
            raise MalformedRequest("A chunk does not start with its size.")

    def _take_chunk(self, buffer: bytearray, start: int, pieces: list[bytes]) -> int:
        end = min(len(buffer), start + self._missing)
        payload_end = min(end, start + self._missing - 2)
        if payload_end > start:
            pieces.append(bytes(buffer[start:payload_end]))
        if end - start < self._missing:
            taken = max(payload_end - start, 0)  # the line end is taken whole
            self._missing -= taken
            return taken
        if buffer[end - 2 : end] != b"\r\n":
            raise MalformedRequest("A chunk is longer than its size.")
        self._in_chunk = False
        return end - start

    def _take_trailer(self, buffer: bytearray, start: int) -> int:
        """Take the whole trailer; while it is incomplete, it stays in the buffer."""
        is_empty = buffer.startswith(b"\r\n", start)
        end = start - 2 if is_empty else buffer.find(b"\r\n\r\n", start, start + MAX_TRAILER_BYTES)
        if end < 0 and not is_empty:
            if len(buffer) - start >= MAX_TRAILER_BYTES:
                raise HeadTooLarge(f"The trailer exceeds {MAX_TRAILER_BYTES} bytes.")
            if BAD_LINE_END.search(buffer, start):
                raise MalformedRequest("The trailer is not valid.")
            return 0
        if not TRAILER.fullmatch(buffer, start, end + 4):
            raise MalformedRequest("The trailer is not valid.")
        self.complete = True
        return end + 4 - start
