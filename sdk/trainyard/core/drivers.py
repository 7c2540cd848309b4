"""The two drivers: one runs operations with blocking calls, the other with `await`."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from threading import Event
from typing import Any, BinaryIO, Final, Generic, TypeVar
from urllib.parse import urlsplit

import httpx2

from trainyard.configuration import Server
from trainyard.core.steps import (
    Answer,
    Broken,
    Call,
    Close,
    Emit,
    FileContent,
    NotConnected,
    Open,
    Operation,
    Receive,
    Request,
    Send,
    Step,
    Wait,
)
from trainyard.version import VERSION

T = TypeVar("T")
PIECE_BYTES: Final = 256 * 1024
CONNECT_SECONDS: Final = 10.0


class _Running(Generic[T]):
    """An operation between two steps."""

    def __init__(self, operation: Operation[T]) -> None:
        self._operation = operation
        self._results: list[T] = []

    @property
    def result(self) -> T:
        return self._results[0]

    def resume(self, outcome: object = None) -> Step | None:
        """Give the operation the outcome of its last step; return its next one, None at its end."""
        try:
            if isinstance(outcome, Exception):
                return self._operation.throw(outcome)
            return self._operation.send(outcome)
        except StopIteration as end:
            self._results.append(end.value)
            return None

    def close(self) -> None:
        self._operation.close()


class SyncDriver:
    """Runs operations with blocking calls.

    Args:
        server: to send requests to.
    """

    def __init__(self, server: Server) -> None:
        self._http = httpx2.Client(**_options(server))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def run(self, operation: Operation[T]) -> T:
        """Run an operation to its end and return its result."""
        running = _Running(operation)
        for _ in self._items(running):
            pass
        return running.result

    def iterate(self, operation: Operation[object]) -> Iterator[Any]:
        """Yield the items of an operation."""
        return self._items(_Running(operation))

    def _items(self, running: "_Running[Any]") -> Iterator[Any]:
        exchange = _SyncExchange(self._http)
        try:
            step = running.resume()
            while step is not None:
                if isinstance(step, Emit):
                    yield step.item
                    step = running.resume()
                else:
                    step = running.resume(exchange.outcome(step))
        finally:
            running.close()
            exchange.close()


class _SyncExchange:
    """The steps of one running operation."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self._response: httpx2.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def outcome(self, step: Step) -> object:
        """Return what a step gave, or the exception with which it failed."""
        try:
            return self._take(step)
        except httpx2.TransportError as error:
            return _as_ours(error)
        except Exception as error:  # noqa: BLE001 - the operation gets it and decides
            return error

    def _take(self, step: Step) -> object:
        match step:
            case Send(request):
                return _answer(self._http.send(self._built(request)))
            case Open(request):
                return self._open(request)
            case Receive():
                return next(self._pieces, b"")
            case Close():
                self.close()
            case Wait(seconds):
                Event().wait(seconds)
            case Call(function):
                return function()
        return None

    def _open(self, request: Request) -> Answer:
        self.close()
        self._response = self._http.send(self._built(request), stream=True)
        if self._response.is_error:
            self._response.read()
            return _answer(self._response)
        self._pieces = self._response.iter_raw()
        return _head(self._response)

    def close(self) -> None:
        """Close the open response."""
        response, self._response, self._pieces = self._response, None, iter(())
        if response is not None:
            with suppress(httpx2.TransportError):
                response.close()

    def _built(self, request: Request) -> httpx2.Request:
        content = request.content
        body = _pieces(content) if isinstance(content, FileContent) else content
        return self._http.build_request(content=body, **_parts(request))


class AsyncDriver:
    """Runs operations with `await`.

    Args:
        server: to send requests to.
    """

    def __init__(self, server: Server) -> None:
        self._http = httpx2.AsyncClient(**_options(server))

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation to its end and return its result."""
        running = _Running(operation)
        async for _ in self._items(running):
            pass
        return running.result

    def iterate(self, operation: Operation[object]) -> AsyncIterator[Any]:
        """Yield the items of an operation."""
        return self._items(_Running(operation))

    async def _items(self, running: "_Running[Any]") -> AsyncIterator[Any]:
        exchange = _AsyncExchange(self._http)
        try:
            step = running.resume()
            while step is not None:
                if isinstance(step, Emit):
                    yield step.item
                    step = running.resume()
                else:
                    step = running.resume(await exchange.outcome(step))
        finally:
            running.close()
            await exchange.close()


class _AsyncExchange:
    """The steps of one running operation."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._response: httpx2.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def outcome(self, step: Step) -> object:
        """Return what a step gave, or the exception with which it failed."""
        try:
            return await self._take(step)
        except httpx2.TransportError as error:
            return _as_ours(error)
        except Exception as error:  # noqa: BLE001 - the operation gets it and decides
            return error

    async def _take(self, step: Step) -> object:
        match step:
            case Send(request):
                return _answer(await self._http.send(self._built(request)))
            case Open(request):
                return await self._open(request)
            case Receive():
                return b"" if self._pieces is None else await anext(self._pieces, b"")
            case Close():
                await self.close()
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Call(function):
                return await asyncio.to_thread(function)
        return None

    async def _open(self, request: Request) -> Answer:
        await self.close()
        self._response = await self._http.send(self._built(request), stream=True)
        if self._response.is_error:
            await self._response.aread()
            return _answer(self._response)
        self._pieces = self._response.aiter_raw()
        return _head(self._response)

    async def close(self) -> None:
        """Close the open response."""
        response, self._response, self._pieces = self._response, None, None
        if response is not None:
            with suppress(httpx2.TransportError):
                await response.aclose()

    def _built(self, request: Request) -> httpx2.Request:
        content = request.content
        body = _pieces_later(content) if isinstance(content, FileContent) else content
        return self._http.build_request(content=body, **_parts(request))


def _options(server: Server) -> dict[str, Any]:
    key = {} if server.key is None else {"Authorization": f"Bearer {server.key}"}
    return {
        "base_url": server.url,
        "headers": {"User-Agent": f"trainyard-client/{VERSION}", "Accept-Encoding": "gzip", **key},
        "trust_env": not _is_this_machine(server.url),
    }


def _is_this_machine(url: str) -> bool:
    """Return whether an address is of this machine; no proxy leads there."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parts(request: Request) -> dict[str, Any]:
    headers = dict(request.headers)
    if isinstance(request.content, FileContent):
        headers["Content-Length"] = str(request.content.length)
    return {
        "method": request.method,
        "url": request.path,
        "params": {name: _param(each) for name, each in request.params.items() if each is not None},
        "headers": headers,
        "timeout": httpx2.Timeout(request.silent_seconds, connect=CONNECT_SECONDS),
    }


def _param(value: object) -> object:
    if isinstance(value, list | tuple | set):
        return [_param(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _pieces(content: FileContent) -> Iterator[bytes]:
    with content.path.open("rb") as file:
        file.seek(content.start)
        left = content.length
        while left > 0 and (piece := _piece(file, left)):
            yield piece
            left -= len(piece)
            if content.on_bytes is not None:
                content.on_bytes(len(piece))


async def _pieces_later(content: FileContent) -> AsyncIterator[bytes]:
    for piece in _pieces(content):
        yield piece


def _piece(file: BinaryIO, left: int) -> bytes:
    return file.read(min(PIECE_BYTES, left))


def _answer(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, _lower(response.headers), response.content)


def _head(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, _lower(response.headers))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _as_ours(error: httpx2.TransportError) -> Exception:
    words = str(error) or type(error).__name__
    kinds = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
    return NotConnected(words) if isinstance(error, kinds) else Broken(words)
