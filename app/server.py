"""Serve the application with uvicorn and our limits.

While the server accepts requests, `server.json` in the home contains `{"url": …, "pid": …}`.
"""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.datastructures import State
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.core.logging import configure_logging
from app.core.secrets import write_private
from app.listening import BACKLOG, NOTE, url_of
from app.main import create_app
from app.settings import Settings

EXIT_START_FAILED = 3
DRAIN_SECONDS = 7.0
GRACEFUL_SHUTDOWN_SECONDS = 1
DRAIN_POLL_SECONDS = 0.05
"""In total less than the ten seconds after which container engines kill a process."""

KEEP_ALIVE_SECONDS = 15
MAX_HEAD_BYTES = 64 * 1024
HEAD_TOO_LARGE = f"The request's headers are larger than {MAX_HEAD_BYTES} bytes."


def serve(settings: Settings, listener: socket.socket) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status of the process."""
    configure_logging(level=settings.log_level)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=settings.behind_proxy,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )
    server = Server(
        config,
        note=settings.home / NOTE,
        url=url_of(listener),
        state=app.state,
    )
    server.run(sockets=[listener])
    return 0 if server.started else EXIT_START_FAILED


class Server(uvicorn.Server):
    """uvicorn's server, with `server.json` while it runs and exit status 0 after a stop signal.

    After a stop signal it sets `state.context.draining`, which makes the readiness check fail, and
    lets running requests finish.
    """

    def __init__(self, config: uvicorn.Config, *, note: Path, url: str, state: State) -> None:
        super().__init__(config)
        self._note = note
        self._url = url
        self._state = state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept requests, then write `server.json`. Called by uvicorn."""
        await super().startup(sockets)
        if self.started:
            write_private(self._note, json.dumps({"url": self._url, "pid": os.getpid()}) + "\n")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down. Called by uvicorn after a stop signal, before it closes anything.

        While requests run, new ones are still accepted, so that the readiness check returns 503
        instead of a refused connection. Requests that take longer than `DRAIN_SECONDS` are
        aborted.
        """
        self._note.unlink(missing_ok=True)
        self._state.context.draining.set()
        clock = asyncio.get_running_loop().time
        deadline = clock() + DRAIN_SECONDS
        while self.server_state.tasks and not self.force_exit and clock() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_SECONDS)  # uvicorn does not signal the end of its tasks
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal; stop without waiting at a second SIGINT.

        uvicorn's own handler would raise the signal again after the shutdown, and the signal would
        end the process. Service managers expect status 0 after a clean stop.
        """
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


class BoundedHttpProtocol(HttpToolsProtocol):
    """Limits the size of a request's head, which uvicorn's httptools protocol does not."""

    _arrived_bytes = 0
    _parsed_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        """Respond with 400 to an unfinished head over the limit.

        Called by the event loop for each piece of data (at most 256 KiB).
        """
        self._arrived_bytes += len(data)
        super().data_received(data)
        too_large = self._in_head and self._arrived_bytes > MAX_HEAD_BYTES
        if too_large and not self.transport.is_closing():
            self.send_400_response(HEAD_TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Refuse headers over the limit. Called by httptools; exceptions are answered with 400."""
        self._parsed_bytes += len(name) + len(value)
        if self._parsed_bytes > MAX_HEAD_BYTES:
            raise ValueError(HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop counting. Called by httptools when the head is complete."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Reset the counts for the next request. Called by httptools at the end of the body."""
        self._in_head, self._arrived_bytes, self._parsed_bytes = True, 0, 0
        super().on_message_complete()
