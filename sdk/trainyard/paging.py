"""Lists of the server as iterators."""

from collections.abc import AsyncIterator, Iterator
from typing import Generic, TypeVar

from trainyard.core.drivers import AsyncDriver, SyncDriver
from trainyard.operations.pages import Listing
from trainyard.views.base import View

V = TypeVar("V", bound=View)


class Pager(Generic[V]):
    """A list of the server. Pages are read while it is iterated.

    Args:
        driver: that reads the pages.
        listing: the list.
    """

    def __init__(self, driver: SyncDriver, listing: Listing[V]) -> None:
        self._driver = driver
        self._listing = listing

    def __iter__(self) -> Iterator[V]:
        return self._driver.iterate(self._listing.items())

    def all(self) -> list[V]:
        """Read all pages and return the items."""
        return list(self)

    def first(self) -> V | None:
        """Return the first item, None if there is none."""
        return next(iter(self), None)


class AsyncPager(Generic[V]):
    """A list of the server. Pages are read while it is iterated.

    Args:
        driver: that reads the pages.
        listing: the list.
    """

    def __init__(self, driver: AsyncDriver, listing: Listing[V]) -> None:
        self._driver = driver
        self._listing = listing

    def __aiter__(self) -> AsyncIterator[V]:
        return self._driver.iterate(self._listing.items())

    async def all(self) -> list[V]:
        """Read all pages and return the items."""
        return [item async for item in self]

    async def first(self) -> V | None:
        """Return the first item, None if there is none."""
        async for item in self:
            return item
        return None
