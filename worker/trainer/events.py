"""The trainer's end of the event pipe: numbers and stamps events, and never delays training."""

import math
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from worker.trainer.field_types import Metrics
from worker.trainer.protocol import EVENTS_FD_VARIABLE, Event, event_line

_STANDARD_OUTPUT: Final = 1


class EventPipe:
    """Writes events to a file descriptor from its own thread, in the order of `emit`.

    A slow reader costs memory (a line a second), never training time. `on_broken` is called once,
    from that thread, when the pipe no longer has a reader.
    """

    def __init__(self, fd: int, on_broken: Callable[[], None]) -> None:
        self._fd = fd
        self._on_broken = on_broken
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._seq = 0
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._write, name="events", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Number an event and queue it; any thread can call it."""
        with self._turn:
            self._seq += 1
            stamped = event.model_copy(update={"seq": self._seq, "at": round(time.time(), 3)})
            self._lines.put(event_line(stamped))

    def close(self, *, within: float | None) -> None:
        """Wait until all events are written, the pipe breaks, or `within` seconds have passed.

        None waits without a limit.
        """
        self._lines.put(None)
        self._thread.join(within)

    def _write(self) -> None:
        try:
            while (line := self._lines.get()) is not None:
                _write_whole(self._fd, line)
        except OSError:
            self._on_broken()


def events_fd(environment: Mapping[str, str]) -> int:
    """Return the supervisor's file descriptor, or standard output when started by hand."""
    return int(environment.get(EVENTS_FD_VARIABLE, _STANDARD_OUTPUT))


def finite(values: Mapping[str, float | None]) -> Metrics:
    """Replace NaN and infinity by null, since JSON and databases cannot store them."""
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in values.items()
    }


def not_finite(values: Mapping[str, float | None]) -> list[str]:
    """Return the names of the values that are NaN or infinite."""
    return [
        name for name, value in values.items() if value is not None and not math.isfinite(value)
    ]


def _write_whole(fd: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(fd, rest) :]
