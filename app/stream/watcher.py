"""One watcher of the stream, and the bytes that wait to be sent to it."""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from app.events.log import LogPosition
from app.stream.items import Batch, View

MAX_WAITING_BYTES: Final = 256 * 1024
PIECE_BYTES: Final = 64 * 1024


class CredentialKind(Enum):
    """How a watcher was authenticated."""

    KEY = "key"
    SESSION = "session"


@dataclass(frozen=True)
class Credential:
    """A key, by its public id, or a browser session, by its id."""

    kind: CredentialKind
    id: str


class Watcher:
    """A client of the stream. Use it in the event loop only.

    Args:
        credential: with which it came.
        view: what it may see.
        project_id: of the only job that it watches; None: it watches everything.
    """

    def __init__(
        self, credential: Credential, view: View, *, project_id: str | None = None
    ) -> None:
        self.credential = credential
        self.project_id = project_id
        self.view = view
        self.is_over = False
        self._is_live = False
        self._passed: LogPosition | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()

    def go_live(self, passed: LogPosition | None = None) -> None:
        """Take rows of the log from now on; those up to `passed` are left out."""
        self._is_live = True
        self._passed = passed

    def offer(self, batch: Batch) -> None:
        """Take what the watcher sees of a batch."""
        if self._passed is None:
            chunk = batch.chunk(self.view, is_live=self._is_live)
        else:
            chunk = batch.chunk_after(self._passed, self.view)
            if batch.items and batch.items[-1].at > self._passed:
                self._passed = None
        if chunk:
            self.push(chunk)

    def push(self, chunk: bytes) -> None:
        """Let bytes wait; a watcher for which too many wait is ended and gets none of them."""
        if self.is_over:
            return
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self.end()
        self._news.set()

    def skip(self) -> None:
        """Forget what waits, except a farewell."""
        if not self.is_over:
            self._clear()

    def end(self, farewell: bytes = b"") -> None:
        """Send nothing more but `farewell`."""
        if self.is_over:
            return
        self.is_over = True
        self._clear()
        if farewell:
            self._waiting.append(farewell)
        self._news.set()

    def taken(self) -> bytes:
        """Take what waits, up to a piece; it may be nothing."""
        pieces, size = [], 0
        while self._waiting and size < PIECE_BYTES:
            pieces.append(self._waiting.popleft())
            size += len(pieces[-1])
        self._waiting_bytes -= min(size, self._waiting_bytes)
        return b"".join(pieces)

    async def next_piece(self) -> bytes:
        """Wait for something to send, and take it; nothing: the watcher is over."""
        while not self._waiting and not self.is_over:
            await self.next_news()
        return self.taken()

    async def next_news(self) -> None:
        """Wait until something was pushed, the watcher was ended, or somebody woke it."""
        self._news.clear()
        await self._news.wait()

    def wake(self) -> None:
        """End the wait for news, although nothing was pushed."""
        self._news.set()

    def _clear(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
