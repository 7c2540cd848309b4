"""Accepts the connections of a listener, and closes those that there are too many of."""

import asyncio
import contextlib
import errno
import socket
from functools import partial
from ssl import SSLContext
from typing import Final

from app.core.errors import TrainyardError
from app.core.logging import get_logger
from app.http_server.admission import CountedConnection
from app.http_server.errors import TooManyConnections
from app.http_server.protocol import ConnectionContext, HttpProtocol
from app.http_server.record import CutReason
from app.http_server.refusals import refusal

log = get_logger(__name__)

PAUSE_SECONDS: Final = 0.2
"""After an accept failed: until then, connections wait in the listener's queue."""
SHUTDOWN_SECONDS: Final = 2.0
NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Accepts connections while it is open; stands for one of uvicorn's servers.

    uvicorn lets the event loop accept, which counts nothing and begins with a TLS handshake of any
    length. Here a connection is counted before anything is read from it.
    """

    def __init__(
        self, listener: socket.socket, shared: ConnectionContext, tls: SSLContext | None
    ) -> None:
        self._listener = listener
        self._shared = shared
        self._tls = tls
        self._connecting: set[asyncio.Task[None]] = set()
        listener.settimeout(0)
        self._task = asyncio.get_running_loop().create_task(self._accept_all())

    def close(self) -> None:
        """Accept no more. Called by uvicorn."""
        self._task.cancel()
        self._shared.record.close()

    async def wait_closed(self) -> None:
        """Wait until nothing is being accepted. Called by uvicorn."""
        await asyncio.wait([self._task, *self._connecting])

    async def _accept_all(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError as error:
                await self._recover(error)
                continue
            self._admit(connection, (str(address[0]), int(address[1])))
            await asyncio.sleep(0)  # other connections have their turn during a flood

    async def _recover(self, error: OSError) -> None:
        """Close an idle connection if the process has no descriptor left for a new one."""
        if error.errno in NO_DESCRIPTOR:
            self._shared.record.add(CutReason.NO_DESCRIPTOR, "")
            self._shared.admission.evict_one()
        else:
            log.debug("connection.not_accepted", error=type(error).__name__)
        await asyncio.sleep(PAUSE_SECONDS)

    def _admit(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        try:
            counted = self._shared.admission.admit(peer[0])
        except TrainyardError as error:
            crowd = isinstance(error, TooManyConnections)
            self._shared.record.add(
                CutReason.TOO_MANY_OF_ADDRESS if crowd else CutReason.SERVER_FULL, peer[0]
            )
            self._turn_away(connection, error)
            return
        connection.settimeout(0)
        task = asyncio.get_running_loop().create_task(self._connect(connection, counted, peer))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _turn_away(self, connection: socket.socket, error: TrainyardError) -> None:
        """Answer and close at once, without waiting for the client."""
        with connection, contextlib.suppress(OSError):
            connection.settimeout(0)
            if self._tls is None:
                headers = self._shared.server_state.default_headers
                connection.send(refusal(error, headers, is_tls=False))
                connection.shutdown(socket.SHUT_WR)
                connection.recv(4096)  # unread bytes would reset the connection before the answer

    async def _connect(
        self, connection: socket.socket, counted: CountedConnection, peer: tuple[str, int]
    ) -> None:
        """Make the transport; for TLS, this takes as long as the handshake."""
        has_tls = self._tls is not None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(HttpProtocol, self._shared, counted, peer),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._shared.limits.head_seconds if has_tls else None,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS if has_tls else None,
            )
        except (OSError, asyncio.CancelledError) as error:
            counted.release()
            connection.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            self._shared.record.add(CutReason.HANDSHAKE, peer[0])
