"""The disk space that running requests of this process have announced and not used yet."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(eq=False)
class Reservation:
    """The announced size of one body, and how many of its bytes are on the disk."""

    size_bytes: int
    arrived_bytes: int = 0


class Reservations:
    """The bodies of all running requests; each request changes only its own reservation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[Reservation] = set()

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[Reservation]:
        """Reserve space for a body until the block ends."""
        reservation = Reservation(size_bytes)
        with self._lock:
            self._held.add(reservation)
        try:
            yield reservation
        finally:
            with self._lock:
                self._held.remove(reservation)

    def unreceived_bytes(self) -> int:
        """Return how many announced bytes are not on the disk yet."""
        with self._lock:
            return sum(max(it.size_bytes - it.arrived_bytes, 0) for it in self._held)

    def announced_bytes(self) -> int:
        """Return how many bytes are announced, whether they are on the disk or not."""
        with self._lock:
            return sum(it.size_bytes for it in self._held)
