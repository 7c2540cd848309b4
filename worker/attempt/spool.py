"""Events of a trainer that wait to be written: on disk, in order, for as long as it takes.

A spool is in its attempt's directory and is removed with it. If the worker dies, the spool is lost,
and the next attempt trains those epochs again from the last stored checkpoint.
"""

import os
import threading
from collections import deque
from pathlib import Path
from typing import Self

from app.core.files import PRIVATE_FILE

RESTART_BYTES = 1024 * 1024
MOST_WAITING_BYTES = 64 * 1024 * 1024
"""With more, `append` waits: what the trainer says next stays in its own memory."""


class EventSpool:
    """Lines between the thread that reads the pipe and the thread that writes to the database.

    Only their lengths are held in memory. A large file is emptied when all its lines are taken.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        self._lengths: deque[int] = deque()
        self._begin = self._end = 0
        self._ended = False
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        with self._changed:
            os.close(self._descriptor)

    @property
    def is_empty(self) -> bool:
        """Whether every line has been taken."""
        return not self._lengths

    def append(self, line: bytes) -> None:
        """Keep a line until it is taken; drop a line that comes after the end.

        It waits while too much is waiting.

        Raises:
            OSError: the disk is full.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._has_room or self._ended)
            if self._ended:
                return
            if self._begin > (MOST_WAITING_BYTES if self._lengths else RESTART_BYTES):
                self._restart()
            left = memoryview(line)
            offset = self._end
            while left:
                written = os.pwrite(self._descriptor, left, offset)
                offset, left = offset + written, left[written:]
            self._end = offset
            self._lengths.append(len(line))
            self._changed.notify_all()

    @property
    def _has_room(self) -> bool:
        return self._end - self._begin < MOST_WAITING_BYTES

    def _restart(self) -> None:
        """Move what waits to the begin of the file, which else would grow for ever."""
        waiting = os.pread(self._descriptor, self._end - self._begin, self._begin)
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, waiting, 0)
        self._begin, self._end = 0, len(waiting)

    def end(self) -> None:
        """Accept no further line; `take` returns None when all lines are taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self) -> bytes | None:
        """Wait for the next line and return it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lengths or self._ended)
            if not self._lengths:
                return None
            length = self._lengths.popleft()
            line = os.pread(self._descriptor, length, self._begin)
            self._begin += length
            self._changed.notify_all()
            return line
