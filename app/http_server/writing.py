"""The sending side of a connection: flow control, and the end of a client that does not read."""

import asyncio
import socket
from collections.abc import Callable

from uvicorn.server import ServerState

RawHeaders = list[tuple[bytes, bytes]]


class Writer:
    """Sends to one client.

    Args:
        transport: where to.
        server_state: it has the headers of every answer, such as Date.
        slow_seconds: the client is slow if it reads less than `bytes_per_second` for this long.
        bytes_per_second: see there.
        on_slow: called for a slow client; it ends the connection.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        server_state: ServerState,
        *,
        slow_seconds: float,
        bytes_per_second: float,
        on_slow: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._server_state = server_state
        self._slow_seconds = slow_seconds
        self._enough = slow_seconds * bytes_per_second
        self._on_slow = on_slow
        self._loop = asyncio.get_running_loop()
        self._is_writable = asyncio.Event()
        self._is_writable.set()
        self._written = 0
        self._since = 0.0  # the client has had something to read since then
        self._read_by_then = 0
        self._timer: asyncio.TimerHandle | None = None
        self._drain_seconds: float | None = None
        self._drain_timer: asyncio.TimerHandle | None = None

    @property
    def default_headers(self) -> RawHeaders:
        """Headers of every answer."""
        return self._server_state.default_headers

    def write(self, data: bytes) -> None:
        """Send bytes; none if the connection is closed."""
        if self._transport.is_closing():
            return
        if self._timer is None or self._transport.get_write_buffer_size() == 0:
            self._since, self._read_by_then = self._loop.time(), self._written
        self._written += len(data)
        self._transport.write(data)
        if self._timer is None and self._transport.get_write_buffer_size():
            self._timer = self._loop.call_later(self._slow_seconds, self._check)

    async def drain(self) -> None:
        """Wait until the client has read enough, or has left."""
        await self._is_writable.wait()

    def bound_each_write(self, seconds: float, *, kernel_bytes: int) -> None:
        """From now on a client is slow if it has not taken a write after `seconds`.

        `drain` then waits for the whole of the previous write, so that no more than one write is
        in memory, and the kernel keeps no more than `kernel_bytes` for the client.
        """
        self._drain_seconds = seconds
        self._transport.set_write_buffer_limits(high=1, low=0)
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kernel_bytes)

    def hurry(self, seconds: float) -> None:
        """Wait for no bounded write longer than `seconds` from now on."""
        if self._drain_seconds is None:
            return
        self._drain_seconds = min(self._drain_seconds, seconds)
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = self._loop.call_later(self._drain_seconds, self._on_slow)

    def pause(self) -> None:
        """Let `drain` wait."""
        self._is_writable.clear()
        if self._drain_seconds is not None and self._drain_timer is None:
            self._drain_timer = self._loop.call_later(self._drain_seconds, self._on_slow)

    def resume(self) -> None:
        """Let `drain` return."""
        self._is_writable.set()
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None

    def stop(self) -> None:
        """Forget the client, which has left."""
        self.resume()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        unread = self._transport.get_write_buffer_size()
        self._timer = None
        if unread == 0:
            return
        now, read = self._loop.time(), self._written - unread
        remaining = self._since + self._slow_seconds - now
        if remaining <= 0:
            if read - self._read_by_then < self._enough:
                self._on_slow()
                return
            self._since, self._read_by_then, remaining = now, read, self._slow_seconds
        self._timer = self._loop.call_later(remaining, self._check)
