"""One connection: heads, bodies and answers in turn, each with a limit of bytes and of time.

A connection is in one of four phases. `IDLE`: no byte of a request has arrived. `HEAD`: a head has
begun. `EXCHANGE`: the application has the request. `CLOSING`: the last answer is sent, and what
still arrives is dropped. One timer belongs to the phase; `Writer` has the one for unread answers.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, cast

from starlette.types import ASGIApp, Scope
from uvicorn.server import ServerState

from app.core.errors import HeadTooLarge, RequestTooSlow, TrainyardError
from app.core.logging import get_logger
from app.http_server.admission import Admission, CountedConnection
from app.http_server.bodies import Body, ChunkedBody, CountedBody
from app.http_server.errors import MalformedRequest, TooManyConnections
from app.http_server.exchange import HIGH_WATER_BYTES, Exchange
from app.http_server.forwarded import Origin, origin_of
from app.http_server.head import BAD_LINE_END, MAX_HEAD_BYTES, START, Head, read_head
from app.http_server.pace import Pace
from app.http_server.record import CutReason, Record
from app.http_server.refusals import refusal
from app.http_server.writing import Writer
from app.settings.connections import ConnectionSettings
from app.settings.units import Network

log = get_logger(__name__)

LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 1024 * 1024
"""A client that still sends can read our last answer only if its bytes are taken (RFC 9112 9.6)."""
ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class Phase(Enum):
    """What a connection waits for."""

    IDLE = auto()
    HEAD = auto()
    EXCHANGE = auto()
    CLOSING = auto()


@dataclass(frozen=True)
class ConnectionContext:
    """What all connections of a server share."""

    app: ASGIApp
    app_state: dict[str, Any]
    server_state: ServerState
    limits: ConnectionSettings
    proxies: tuple[Network, ...]
    admission: Admission
    record: Record


class HttpProtocol(asyncio.Protocol):
    """The protocol of one admitted connection, called by the event loop and by its exchange."""

    def __init__(
        self, shared: ConnectionContext, counted: CountedConnection, peer: tuple[str, int]
    ) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._entry = counted
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._writer: Writer
        self._scheme = "http"
        self._phase = Phase.IDLE
        self._is_first = True
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer in which the head does not end
        self._skipped = 0  # empty lines before the head
        self._body: Body = CountedBody(0)
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pace = Pace(0, 1)
        self._waiting_since: float | None = None
        self._lingered_bytes = 0
        self._is_reading = True
        self._eof = False
        self._stopping = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is no subclass
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._writer = Writer(
            self._transport,
            self._shared.server_state,
            slow_seconds=self._limits.slow_seconds,
            bytes_per_second=self._limits.minimum_bytes_per_second,
            on_slow=self._reader_is_slow,
        )
        self._shared.server_state.connections.add(self)  # type: ignore[arg-type] # it has shutdown()
        self._become_idle(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free what the connection holds, and tell the application."""
        if exc is not None:
            log.debug("connection.lost", peer=self._peer[0], error=type(exc).__name__)
        self._phase = Phase.CLOSING
        self._shared.server_state.connections.discard(self)
        self._shared.admission.became_busy(self._evict)
        self._entry.release()
        self._stop_timer()
        self._writer.stop()
        self._buffer.clear()
        if self._exchange is not None:
            self._exchange.disconnect()
            self._exchange = None

    def data_received(self, data: bytes) -> None:
        """Take bytes of the current phase; at most 256 KiB at once."""
        if self._phase is not Phase.CLOSING:
            self._buffer += data
            self._advance()
            return
        self._lingered_bytes += len(data)
        if self._lingered_bytes > LINGER_BYTES:
            self._transport.abort()

    def eof_received(self) -> bool:
        """Answer a complete request although the client sends no more; else close.

        TLS connections cannot be closed by half.
        """
        self._eof = True
        exchange = self._exchange
        if exchange is None or not exchange.request_complete or self._scheme == "https":
            return False
        exchange.half_close()
        return True

    def pause_writing(self) -> None:
        """Let the application wait until the client has read more."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """Let the application continue."""
        self._writer.resume()

    def shutdown(self) -> None:
        """Close after the current answer. Called by uvicorn when the process stops."""
        self._stopping = True
        if self._exchange is None:
            self._transport.close()
        else:
            self._exchange.keeps_alive = False

    def hurry(self, seconds: float) -> None:
        """Cut an event stream whose client does not take a write within `seconds`."""
        self._writer.hurry(seconds)

    def wants_body(self, exchange: Exchange) -> None:
        """Give the client the time that its pace allows. Called when the application waits."""
        if exchange is self._exchange and not exchange.request_complete:
            self._waiting_since = self._loop.time()
            if not self._body.in_trailer:
                self._set_timer(max(self._pace.seconds, 0), self._body_is_slow)

    def has_body(self, exchange: Exchange) -> None:
        """Stop to wait for the client. Called when the application has something of it."""
        if exchange is not self._exchange:
            return
        if self._waiting_since is not None:
            self._pace.waited(self._loop.time() - self._waiting_since)
            self._waiting_since = None
            if not self._body.in_trailer:
                self._stop_timer()
        self._balance_reading()

    def answered(self, exchange: Exchange) -> None:
        """Wait for the next request, or close."""
        if exchange is not self._exchange:
            return
        self._exchange = None
        self._shared.server_state.total_requests += 1
        self._stop_timer()
        if exchange.keeps_alive and not self._eof:
            self._become_idle(self._limits.idle_seconds)
            if self._buffer:
                self._loop.call_soon(self._advance)
            self._balance_reading()
        else:
            self._close(unread=not exchange.request_complete or not self._is_reading)

    def _advance(self) -> None:
        """Take from the buffer what the current phase can use."""
        try:
            if self._phase is Phase.IDLE and self._buffer:
                self._phase, self._searched, self._skipped = Phase.HEAD, 0, 0
                self._shared.admission.became_busy(self._evict)
                self._take_head()
                if self._phase is Phase.HEAD and not self._is_first:
                    self._set_timer(self._limits.head_seconds, self._head_is_late)
            elif self._phase is Phase.HEAD:
                self._take_head()
            if self._phase is Phase.EXCHANGE:
                self._take_body()
        except TrainyardError as error:
            too_large = isinstance(error, HeadTooLarge)
            self._refuse(error, CutReason.TOO_LARGE if too_large else CutReason.MALFORMED)
        self._balance_reading()

    def _take_head(self) -> None:
        buffer = self._buffer
        if self._searched == 0:
            skipped = len(buffer) - len(buffer.lstrip(b"\r\n"))
            self._skipped += skipped
            del buffer[:skipped]
            if buffer and not START.match(buffer):
                raise MalformedRequest("The request does not start with a method.")
        start = max(self._searched - 3, 0)
        end = buffer.find(b"\r\n\r\n", start, MAX_HEAD_BYTES)
        if BAD_LINE_END.search(buffer, start, len(buffer) if end < 0 else end):
            raise MalformedRequest("Lines of a head end with CR LF, and contain no NUL.")
        if end < 0:
            self._searched = len(buffer)
            if len(buffer) + self._skipped >= MAX_HEAD_BYTES:
                raise HeadTooLarge(f"The request's head is larger than {MAX_HEAD_BYTES} bytes.")
            return
        head = read_head(bytes(buffer[: end + 4]))
        del buffer[: end + 4]
        self._begin_exchange(head)

    def _begin_exchange(self, head: Head) -> None:
        self._stop_timer()
        self._phase, self._is_first = Phase.EXCHANGE, False
        proxies = self._shared.proxies
        origin = origin_of(head.fields, peer=self._peer, scheme=self._scheme, proxies=proxies)
        if proxies and origin.ignored:
            self._shared.record.add(CutReason.UNTRUSTED_PROXY, self._peer[0])
        self._pace = Pace(self._limits.slow_seconds, self._limits.minimum_bytes_per_second)
        self._body = ChunkedBody() if head.length is None else CountedBody(head.length)
        self._exchange = exchange = Exchange(
            self,
            self._writer,
            self._scope(head, origin),
            keeps_alive=head.keeps_alive and not self._stopping,
            expects_continue=head.expects_continue,
        )
        task = self._loop.create_task(self._run(exchange, origin))
        self._shared.server_state.tasks.add(task)
        task.add_done_callback(self._shared.server_state.tasks.discard)

    def _scope(self, head: Head, origin: Origin) -> Scope:
        local = self._transport.get_extra_info("sockname")
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": head.version,
            "method": head.method,
            "scheme": origin.scheme,
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "root_path": "",
            "headers": origin.fields,  # nothing is added later: trailers are dropped
            "client": origin.client,
            "server": tuple(local[:2]) if isinstance(local, tuple) else None,
            "state": self._shared.app_state.copy(),
        }

    async def _run(self, exchange: Exchange, origin: Origin) -> None:
        """Let the application answer, and answer in its place if it does not."""
        try:
            with self._counted(origin):
                await self._shared.app(exchange.scope, exchange.receive, exchange.send)
            exchange.check_answered()
            if exchange is self._exchange:
                self._transport.close()  # its client has left before the answer
        except TooManyConnections as error:
            self._refuse(error, CutReason.TOO_MANY_OF_ADDRESS, origin.client[0])
        except asyncio.CancelledError:
            self._transport.abort()  # the process stops: it cannot wait for a client that reads
            raise
        except Exception:
            log.exception("request.failed")
            if exchange is self._exchange:
                self._refuse(TrainyardError("The server failed; its log has the details."))

    def _counted(self, origin: Origin) -> AbstractContextManager[None]:
        if not origin.forwarded:
            return nullcontext()  # the connection itself is counted
        return self._shared.admission.request_of(origin.client[0])

    def _take_body(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.request_complete:
            return  # the next request waits for its turn
        was_in_trailer = self._body.in_trailer
        payload = self._body.take(self._buffer)
        self._pace.moved(len(payload))
        if self._body.complete:
            self._stop_timer()
        elif self._body.in_trailer and not was_in_trailer:
            self._set_timer(self._limits.head_seconds, self._head_is_late)
        elif payload and self._buffer:
            self._loop.call_soon(self._advance)
        exchange.add_body(payload, complete=self._body.complete)

    def _balance_reading(self) -> None:
        """Read no more than the application takes, and few bytes of later requests."""
        if self._transport.is_closing() or self._eof:
            return
        exchange = self._exchange
        waiting = 0 if exchange is None else max(exchange.waiting_bytes, len(self._buffer))
        is_full = waiting > HIGH_WATER_BYTES
        if is_full and self._is_reading:
            self._transport.pause_reading()
        elif not is_full and not self._is_reading:
            self._transport.resume_reading()
        self._is_reading = not is_full

    def _become_idle(self, seconds: float) -> None:
        self._phase = Phase.IDLE
        self._shared.admission.became_idle(self._evict)
        self._set_timer(seconds, self._head_is_late)

    def _evict(self) -> None:
        """Make room for another connection."""
        self._shared.record.add(CutReason.EVICTED, self._peer[0])
        self._entry.release()
        self._transport.abort()

    def _head_is_late(self) -> None:
        if self._phase is Phase.IDLE:
            self._close(unread=False)
            return
        seconds = self._limits.head_seconds
        error = RequestTooSlow(f"The request's head or trailer took longer than {seconds:g} s.")
        self._refuse(error, CutReason.SLOW_HEAD)

    def _body_is_slow(self) -> None:
        rate = self._limits.minimum_bytes_per_second
        error = RequestTooSlow(f"The body arrived at less than {rate} bytes per second.")
        self._refuse(error, CutReason.SLOW_BODY)

    def _reader_is_slow(self) -> None:
        self._shared.record.add(CutReason.SLOW_READER, self._peer[0])
        self._transport.abort()

    def _refuse(
        self, error: TrainyardError, cut: CutReason | None = None, peer: str | None = None
    ) -> None:
        """Answer with an error, unless an answer has begun, and close."""
        if self._phase is Phase.CLOSING:
            return
        if cut is not None:
            self._shared.record.add(cut, peer or self._peer[0])
        exchange, self._exchange = self._exchange, None
        if exchange is None or not exchange.started:
            is_tls = self._scheme == "https"
            self._writer.write(refusal(error, self._writer.default_headers, is_tls=is_tls))
        if exchange is not None:
            exchange.disconnect()
        self._close(unread=True)

    def _close(self, *, unread: bool) -> None:
        """Send what is written, then close; first take what the client still sends if `unread`."""
        if self._transport.is_closing():
            return
        self._phase = Phase.CLOSING
        self._buffer.clear()
        self._shared.admission.became_busy(self._evict)
        self._stop_timer()
        if not unread or self._eof:
            self._transport.close()
            return
        if not self._is_reading:
            self._transport.resume_reading()
            self._is_reading = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._set_timer(LINGER_SECONDS, self._transport.close)

    def _set_timer(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` in `seconds`, unless the timer is set again before."""
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, action)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
