"""A part of a local file, read in pieces by a thread or by the event loop."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO, Final

PIECE_BYTES: Final = 1024 * 1024
CACHED_PIECE_BYTES: Final = 256 * 1024
"""Small enough to stay in the processor's cache until the piece is copied to the socket."""


class FileReader:
    """Reads `length` bytes of an open file from offset `start`, once, and then closes it.

    Iterated asynchronously, it reads on the event loop what is in the page cache, since a switch to
    a thread costs more than such a read. Only reads that have to wait for the disk go to a thread.

    Raises:
        EOFError: the file has become shorter.
    """

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file = file
        self._at = start
        self._end = start + length

    def __iter__(self) -> Iterator[bytes]:
        with self._file:
            while self._at < self._end:
                yield bytes(self._read(PIECE_BYTES))

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        with self._file:
            while self._at < self._end:
                try:
                    piece = self._read(CACHED_PIECE_BYTES, os.RWF_NOWAIT)
                except OSError:  # not in the cache, or not supported by the file system
                    piece = await asyncio.to_thread(self._read, PIECE_BYTES)
                yield piece
                await asyncio.sleep(0)  # `send` does not wait while the client keeps up

    def _read(self, most: int, flags: int = 0) -> memoryview:
        space = bytearray(min(most, self._end - self._at))
        count = os.preadv(self._file.fileno(), [space], self._at, flags)
        if count == 0 and flags:
            # Linux 5.9 and 5.10 answer so where a part is not in the cache (man preadv2, BUGS).
            raise BlockingIOError
        if count == 0:
            raise EOFError(f"The file ends at byte {self._at}, before byte {self._end}.")
        self._at += count
        return memoryview(space)[:count]
