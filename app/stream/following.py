"""One stream from its first byte to its last: hello, what was missed, then what happens."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from anyio import CapacityLimiter

from app.core.database import OUTAGE
from app.core.logging import get_logger
from app.core.shared_reads import SharedReads
from app.events.log import LogPosition
from app.stream.hub import Hub
from app.stream.messages import StreamHello
from app.stream.rendering import rendered, retry
from app.stream.source import Rows, Source
from app.stream.watcher import PIECE_BYTES, Watcher
from app.version import VERSION

log = get_logger(__name__)

READING_THREADS: Final = 4
"""Threads, and connections to the database, that read what joining watchers missed."""


@dataclass(frozen=True)
class Start:
    """Where a watcher wants to begin.

    Attributes:
        after: the position that it has; None: it has none, or one that is not known.
        is_unknown: whether it gave a position that is not known.
    """

    after: LogPosition | None = None
    is_unknown: bool = False


class Follower:
    """Follows the log for watchers.

    Args:
        hub: hands on what happens.
        source: what was missed is read from it.
    """

    def __init__(self, hub: Hub, source: Source) -> None:
        self._hub = hub
        self._source = source
        # Equal reads are shared: after a restart of the server all clients come back at once.
        self._reads = SharedReads(CapacityLimiter(READING_THREADS))

    async def follow(self, watcher: Watcher, start: Start) -> AsyncGenerator[bytes]:
        """Yield everything for a watcher, in pieces, until its stream ends.

        No piece is much larger than `PIECE_BYTES`, except that a message is never divided.
        """
        with self._hub.attached(watcher):
            yield retry()
            try:
                async for piece in self._pieces(watcher, start):
                    if piece:
                        yield piece
            except OUTAGE as error:
                log.warning("stream.ended", error=type(error).__name__)  # the client comes back

    async def _pieces(self, watcher: Watcher, start: Start) -> AsyncIterator[bytes]:
        rows = None if start.after is None else await self._read(start.after, watcher)
        gap = start.is_unknown or (rows is not None and rows.gap)
        position = await self._hub.begun(watcher)
        if position is None:
            yield watcher.taken()  # a farewell
            return
        if rows is None or rows.gap or start.after is None:
            watcher.go_live()
            missed = None
        else:
            position, missed = start.after, rows
        hello = StreamHello(server=VERSION, after=self._source.seal(position), gap=gap)
        watcher.skip()  # all of the current state follows
        everything = self._hub.everything.chunk(watcher.view, is_live=False)
        yield rendered("hello", hello) + everything
        if missed is not None:
            async for piece in self._missed(watcher, position, missed):
                yield piece
        while piece := await watcher.next_piece():
            yield piece

    async def _missed(
        self, watcher: Watcher, sent: LogPosition, rows: Rows
    ) -> AsyncIterator[bytes]:
        """Yield the log after `sent`; it begins with `rows`. Then the watcher takes the rest.

        At the end of the log the watcher begins to take what the hub hands on, which is everything
        behind the hub's position. Only what lies in front of it is still read here. The hub may
        also be behind: then the watcher leaves out what it has.
        """
        upto: LogPosition | None = None
        while not watcher.is_over:
            if upto is None and not rows.has_more:
                upto = await self._hub.begun(watcher)
                if upto is None:
                    return
                watcher.go_live(passed=sent if sent > upto else None)
            for piece in _pieces_of(rows, watcher, upto):
                yield piece
            if upto is None:
                yield watcher.taken()  # current state
            elif rows.sealed_to >= upto:
                break
            sent = rows.sealed_to
            rows = await self._read(sent, watcher)
            if rows.gap:
                watcher.end()  # its client comes back and learns of the gap

    async def _read(self, after: LogPosition, watcher: Watcher) -> Rows:
        view = watcher.view
        read = partial(self._source.page_after, after, view)
        return await self._reads.answer((after, view.projects, view.job_id), read)


def _pieces_of(rows: Rows, watcher: Watcher, upto: LogPosition | None) -> list[bytes]:
    pieces, size = [[b""]], 0
    for item in rows.items:
        if upto is not None and item.at > upto:
            break  # the hub hands it on
        part = item.part(watcher.view, is_live=True)
        if size and size + len(part) > PIECE_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(part)
        size += len(part)
    return [b"".join(piece) for piece in pieces]
