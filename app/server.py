"""How the application is served: uvicorn with our limits, and the note in the home.

`server.json` stands in the home while requests are answered: `{"url": …, "pid": …}`.
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
"""Together under the ten seconds that container engines wait before they kill."""

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
    """uvicorn's server, which leaves a note while it serves and ends with 0 when told to stop.

    Told to stop, it says so in `state.context`, which readiness asks, and lets requests finish.
    """

    def __init__(self, config: uvicorn.Config, *, note: Path, url: str, state: State) -> None:
        super().__init__(config)
        self._note = note
        self._url = url
        self._state = state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn; on return requests are answered, so the note may say so."""
        await super().startup(sockets)
        if self.started:
            write_private(self._note, json.dumps({"url": self._url, "pid": os.getpid()}) + "\n")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn when it is to stop, before it closes anything.

        While requests run, new ones are still answered: whoever asks for readiness hears 503, not
        a refused connection. What runs on after `DRAIN_SECONDS` is broken off.
        """
        self._note.unlink(missing_ok=True)
        self._state.context.draining.set()
        clock = asyncio.get_running_loop().time
        deadline = clock() + DRAIN_SECONDS
        while self.server_state.tasks and not self.force_exit and clock() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_SECONDS)  # uvicorn says no more of its tasks
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The signal handler: the first signal asks to stop, a second SIGINT stops waiting.

        uvicorn's own would raise the signal again after the shutdown, and the process would end
        with it; a service manager takes 0 for a clean stop.
        """
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, which takes a request's head of any size, with a bound."""

    _arrived_bytes = 0
    _parsed_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        """Called by the event loop for each piece that arrived (at most 256 KiB)."""
        self._arrived_bytes += len(data)
        super().data_received(data)
        too_large = self._in_head and self._arrived_bytes > MAX_HEAD_BYTES
        if too_large and not self.transport.is_closing():
            self.send_400_response(HEAD_TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools for each header; what is raised here is answered with 400."""
        self._parsed_bytes += len(name) + len(value)
        if self._parsed_bytes > MAX_HEAD_BYTES:
            raise ValueError(HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Called by httptools once the head has been read."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Called by httptools at the end of the body; the next request of the connection begins."""
        self._in_head, self._arrived_bytes, self._parsed_bytes = True, 0, 0
        super().on_message_complete()
