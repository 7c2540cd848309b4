"""Lists that come in pages."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from trainyard.core.connection import Connection
from trainyard.core.steps import Emit, Operation
from trainyard.views.base import View, parsed

V = TypeVar("V", bound=View)


class Listing(Generic[V]):
    """A list of the server, read page by page while its items are taken.

    Args:
        connection: to the server.
        path: of the list; or an operation that finds it, when the list is read.
        kind: of its items.
        params: filters; None values are left out.
    """

    def __init__(
        self,
        connection: Connection,
        path: str | Callable[[], Operation[str]],
        kind: type[V],
        params: Mapping[str, Any],
    ) -> None:
        self._connection = connection
        self._path = path
        self._kind = kind
        self._params = params

    def items(self) -> Operation[None]:
        """Emit each item."""
        path = self._path if isinstance(self._path, str) else (yield from self._path())
        cursor: str | None = None
        while True:
            params = {**self._params, "cursor": cursor}
            page = yield from self._connection.json("GET", path, params=params)
            for document in page["data"]:
                yield Emit(parsed(self._kind, document))
            cursor = page.get("next")
            if cursor is None or not page.get("has_more", True):
                return
