"""Serve the application with uvicorn and our limits.

While the server accepts requests, `server.json` in the home contains `{"url": …, "pid": …}`.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from ssl import SSLContext
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from app.core.cage.plan import CagePlan
from app.core.logging import configure_logging, get_logger
from app.core.secrets import write_private
from app.http_server.acceptor import Acceptor
from app.http_server.admission import Admission
from app.http_server.descriptors import connection_limit, raise_file_limit
from app.http_server.protocol import ConnectionContext, HttpProtocol
from app.http_server.record import Record
from app.http_server.tls import tls_context
from app.listening import NOTE, url_of
from app.main import create_app
from app.settings import Settings

log = get_logger(__name__)

EXIT_START_FAILED = 3
DRAIN_SECONDS = 7.0
GRACEFUL_SHUTDOWN_SECONDS = 1
DRAIN_POLL_SECONDS = 0.05
"""In total less than the ten seconds after which container engines kill a process."""
STREAM_END_SECONDS = 1.0
"""For which a client may take the end of its event stream."""


def serve(settings: Settings, listener: socket.socket) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status of the process.

    Raises:
        BadConfiguration: the TLS files are not valid, or the cage of verifications lacks layers
            that the settings require.
    """
    configure_logging(level=settings.log_level)
    CagePlan.of_verifier(settings).check()
    tls = tls_context(settings)
    app = create_app(settings)

    def stop() -> None:
        app.state.context.draining.set()  # the context exists since the start
        app.state.streams.end()

    server = server_of(app, settings, tls=tls, on_stop=stop)
    server.run(sockets=[listener])
    return 0 if server.started else EXIT_START_FAILED


def server_of(
    app: ASGIApp, settings: Settings, *, tls: SSLContext | None, on_stop: Callable[[], None]
) -> "Server":
    """Return a server of `app` that has not started. `on_stop` is called after a stop signal."""
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )
    return Server(config, settings=settings, tls=tls, on_stop=on_stop)


class Server(uvicorn.Server):
    """uvicorn's server, with `server.json` while it runs and exit status 0 after a stop signal.

    After a stop signal it calls `on_stop`, which makes the readiness check fail, and lets running
    requests finish.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        settings: Settings,
        tls: SSLContext | None,
        on_stop: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._note = settings.home / NOTE
        self._tls = tls
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept requests, then write `server.json`. Called by uvicorn.

        This replaces uvicorn's method, which lets the event loop accept connections without limit.
        """
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(EXIT_START_FAILED)
        shared = self._shared()
        listeners = sockets or []
        self.servers = [Acceptor(each, shared, self._tls) for each in listeners]  # type: ignore[misc] # uvicorn closes them, no more
        self.started = True
        note = {"url": url_of(listeners[0], tls=self._settings.has_tls), "pid": os.getpid()}
        write_private(self._note, json.dumps(note) + "\n")

    def _shared(self) -> ConnectionContext:
        settings, limits = self._settings, self._settings.connections
        proxies = settings.believed_proxies
        maximum = connection_limit(
            limits.maximum, files=raise_file_limit(), request_threads=settings.request_threads
        )
        return ConnectionContext(
            app=self.config.loaded_app,
            app_state=self.lifespan.state,
            server_state=self.server_state,
            limits=limits,
            proxies=proxies,
            admission=Admission(
                maximum=maximum,
                per_address=limits.per_address,
                unlimited_addresses=(*limits.unlimited_addresses, *proxies),
            ),
            record=Record(),
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down. Called by uvicorn after a stop signal, before it closes anything.

        While requests run, new ones are still accepted, so that the readiness check returns 503
        instead of a refused connection. Requests that take longer than `DRAIN_SECONDS` are
        aborted.
        """
        self._note.unlink(missing_ok=True)
        self._on_stop()
        for connection in list(self.server_state.connections):
            connection.hurry(STREAM_END_SECONDS)  # type: ignore[union-attr] # it is our protocol
        clock = asyncio.get_running_loop().time
        deadline = clock() + DRAIN_SECONDS
        while self.server_state.tasks and not self.force_exit and clock() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_SECONDS)  # uvicorn does not signal the end of its tasks
        self._abort_requests()
        await super().shutdown(sockets)

    def _abort_requests(self) -> None:
        """Cancel the requests that are left; uvicorn would, but after more time and as an error."""
        tasks = list(self.server_state.tasks)
        if tasks:
            log.warning("server.requests_aborted", requests=len(tasks))
        for task in tasks:
            task.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal; stop without waiting at a second SIGINT.

        uvicorn's own handler would raise the signal again after the shutdown, and the signal would
        end the process. Service managers expect status 0 after a clean stop.
        """
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
