"""How many connections there are, and how many requests of each address.

All methods are called in the event loop, so nothing here is locked.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from app.core.addresses import counted_client, parsed_address
from app.http_server.errors import ServerFull, TooManyConnections
from app.settings.units import Network

Evict = Callable[[], None]


class Admission:
    """Counts connections, and closes the one that is idle for longest when all are taken."""

    def __init__(
        self, *, maximum: int, per_address: int, unlimited_addresses: Sequence[Network]
    ) -> None:
        self._maximum = maximum
        self._per_address = per_address
        self._unlimited = tuple(unlimited_addresses)
        self._open = 0
        self._by_address: Counter[str] = Counter()
        self._idle: dict[Evict, None] = {}  # in the order in which they became idle

    def admit(self, address: str) -> "CountedConnection":
        """Count a new connection of `address`.

        Raises:
            TooManyConnections: the address has as many as one may have.
            ServerFull: there are as many in all as there may be, and none of them is idle.
        """
        key = self._counted(address)
        if self._open >= self._maximum and not self.evict_one():
            self.forget(key)
            raise ServerFull("The server has as many connections as it can hold; try again later.")
        self._open += 1
        return CountedConnection(self, key)

    @contextmanager
    def request_of(self, address: str) -> Iterator[None]:
        """Count a request of a client behind a trusted proxy while the block runs.

        Raises:
            TooManyConnections: the address has as many as one may have.
        """
        key = self._counted(address)
        try:
            yield
        finally:
            self.forget(key)

    def became_idle(self, evict: Evict) -> None:
        """Note that a connection waits for its client to begin a request."""
        self._idle[evict] = None

    def became_busy(self, evict: Evict) -> None:
        """Note that a connection is no longer idle, or is closed."""
        self._idle.pop(evict, None)

    def evict_one(self) -> bool:
        """Close the connection that is idle for longest; return whether there was one."""
        evict = next(iter(self._idle), None)
        if evict is None:
            return False
        del self._idle[evict]
        evict()
        return True

    def _counted(self, address: str) -> str | None:
        """Count one for the address and return its key; None if it is not limited."""
        key = self._key_of(address)
        if key is not None:
            if self._by_address[key] >= self._per_address:
                raise TooManyConnections(
                    f"At most {self._per_address} connections of one address are served at a time; "
                    "close some."
                )
            self._by_address[key] += 1
        return key

    def closed(self) -> None:
        """Count a connection's end."""
        self._open -= 1

    def forget(self, key: str | None) -> None:
        """Count one less for a key."""
        if key is None:
            return
        self._by_address[key] -= 1
        if self._by_address[key] <= 0:
            del self._by_address[key]

    def _key_of(self, address: str) -> str | None:
        parsed = parsed_address(address)
        if parsed is not None and any(parsed in network for network in self._unlimited):
            return None
        return counted_client(address)


class CountedConnection:
    """A counted connection, until it is released."""

    def __init__(self, admission: Admission, key: str | None) -> None:
        self._admission = admission
        self._key = key
        self._released = False

    def release(self) -> None:
        """Stop counting the connection; a second call does nothing."""
        if not self._released:
            self._released = True
            self._admission.closed()
            self._admission.forget(self._key)
