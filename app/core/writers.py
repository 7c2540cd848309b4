"""Bounds on how many requests write to the database at once, and on how long a request waits.

If the database is locked, every write waits. Without a bound, the waiting requests would occupy
every thread, and reads, which a lock does not concern, would wait behind them.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from sqlalchemy.exc import TimeoutError as PoolTimeoutError

REQUEST_WAIT_SECONDS: Final = 10.0
"""For which one request waits for other writers, in all its transactions together."""
STUCK_SECONDS: Final = 2.0
"""Without a single write that begins or ends, writers count as stuck, and more are refused."""


class Patience:
    """The time for which a request may still wait for other writers."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @contextmanager
    def spent(self) -> Iterator[float]:
        """Yield the seconds that are left, and subtract the time that the block takes."""
        began = time.monotonic()
        try:
            yield self.seconds
        finally:
            self.seconds = max(0.0, self.seconds - (time.monotonic() - began))


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


def patience() -> Patience | None:
    """Return that of the current request; None outside of requests, as in background threads."""
    return _patience.get()


@contextmanager
def as_request() -> Iterator[None]:
    """Bound the waits of everything in this block, and of the threads that it starts work in."""
    token = _patience.set(Patience(REQUEST_WAIT_SECONDS))
    try:
        yield
    finally:
        _patience.reset(token)


class Writers:
    """The requests that write, or wait for their turn to write.

    Further ones wait while writes begin and end. Once nothing moves, they are refused at once.
    Background threads are never refused and do not count: they renew leases, for example.
    """

    def __init__(self, bound: int) -> None:
        """Take the number of requests that may write or wait at once."""
        self._bound = bound
        self._inside = 0
        self._moved_at = time.monotonic()
        self._changed = threading.Condition()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count this thread's request as a writer for the duration of the block.

        Raises:
            PoolTimeoutError: too many requests wait already, and no write begins or ends, or this
                request has waited for as long as it may.
        """
        own = patience()
        if own is None:
            yield
            return
        with own.spent() as patient_seconds, self._changed:
            ends = time.monotonic() + patient_seconds
            while self._inside >= self._bound:
                left = min(self._moved_at + STUCK_SECONDS, ends) - time.monotonic()
                if left <= 0:
                    message = f"{self._inside} requests wait for the database already."
                    raise PoolTimeoutError(message)
                self._changed.wait(left)
            self._move(1)
        try:
            yield
        finally:
            with self._changed:
                self._move(-1)

    def _move(self, by: int) -> None:
        self._inside += by
        self._moved_at = time.monotonic()
        self._changed.notify()
