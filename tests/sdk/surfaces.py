"""The client with `await`, called like the other one, so that one test body covers both."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, cast

from trainyard import AsyncClient, Client

WRAPPED = "trainyard."
FACTS = ("trainyard.views.", "trainyard.configuration", "trainyard.packing.", "trainyard.core.")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def result(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
        """Run a coroutine and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Blocking:
    """An object of the client with `await`, whose calls block."""

    def __init__(self, inner: object, loop: Loop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return self._plain(getattr(self._inner, name))

    def __setattr__(self, name: str, value: object) -> None:
        if name in {"_inner", "_loop"}:
            super().__setattr__(name, value)
        else:
            setattr(self._inner, name, value)

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        function = cast("Any", self._inner)
        return self._plain(function(*arguments, **named))

    def __iter__(self) -> Iterator[Any]:
        items = cast("AsyncIterator[Any]", self._inner).__aiter__()
        try:
            while True:
                try:
                    item = self._loop.result(_next(items))
                except _EndError:
                    return
                yield self._plain(item)
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                self._loop.result(close())

    def _plain(self, value: Any) -> Any:  # noqa: ANN401
        if inspect.iscoroutine(value):
            return self._plain(self._loop.result(value))
        module = str(getattr(type(value), "__module__", ""))
        is_ours = module.startswith(WRAPPED) and not module.startswith(FACTS)
        if is_ours or inspect.ismethod(value) or hasattr(value, "__aiter__"):
            return Blocking(value, self._loop)
        return value


class _EndError(Exception):
    """An iterator is at its end; StopAsyncIteration cannot leave a coroutine."""


async def _next(items: AsyncIterator[Any]) -> Any:  # noqa: ANN401
    try:
        return await anext(items)
    except StopAsyncIteration:
        raise _EndError from None


@contextmanager
def a_client(
    surface: str,
    url: str,
    key: str,
    **options: Any,  # noqa: ANN401
) -> Iterator[Client]:
    """Yield a client whose calls block.

    Args:
        surface: `sync` or `async`.
        url: of the server.
        key: the API key.
        options: of the client.
    """
    if surface == "sync":
        with Client(url, key, **options) as client:
            yield client
        return
    loop = Loop()
    inner = AsyncClient(url, key, **options)
    try:
        yield cast("Client", Blocking(inner, loop))
    finally:
        loop.result(inner.close())
        loop.close()
