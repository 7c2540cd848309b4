"""The outermost layer of the server: request ids, host allow-list, and unhandled exceptions.

Every response has an `X-Request-Id`, and every error is problem+json. Requests for an unknown
`Host` are refused, because DNS rebinding can direct a browser to loopback.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import BadRequest, NotFound, TrainyardError
from app.core.ids import new_id
from app.core.logging import get_logger
from app.core.problems import MEDIA_TYPE, error_of_status, problem_response

log = get_logger(__name__)

HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?\Z")
LOCAL_NAMES = frozenset({"localhost", "testserver"})
HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
FIRST_ERROR_STATUS = 400


class BadHost(BadRequest):
    """The `Host` header is not one of this server's names."""

    slug, title = "bad-host", "Unknown host"


class EdgeMiddleware:
    """Pure ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str]) -> None:
        self._app = app
        self._allowed_hosts = frozenset(name.lower() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req")
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        answer = _Answer(send, request_id)
        try:
            refusal = self._refusal_of(scope)
            if refusal is None:
                await self._app(scope, receive, answer.send)
            else:
                await problem_response(refusal)(scope, receive, answer.send)
        except Exception:
            log.exception("request.failed", method=scope["method"])
            if answer.is_complete:
                return
            if answer.started:
                raise
            error = TrainyardError("The server failed; its log has details under the request id.")
            await problem_response(error)(scope, receive, answer.send)

    def _refusal_of(self, scope: Scope) -> TrainyardError | None:
        if not self._is_known_host(scope):
            return BadHost("The Host header is not one of this server's names.")
        if "\x00" in scope["path"]:
            # PostgreSQL refuses NUL in the parameters of a query.
            return NotFound("There is nothing at this path.")
        return None

    def _is_known_host(self, scope: Scope) -> bool:
        values = Headers(scope=scope).getlist("host")
        match = HOST.match(values[0]) if len(values) == 1 else None
        if match is None:
            return False
        name = match["name"].strip("[]").lower()
        if name in LOCAL_NAMES or name in self._allowed_hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


class _Answer:
    """Adds our headers, and replaces plain-text errors of the framework by problem+json."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._replaced = False
        self.started = False
        self.is_complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and self._replaced:
            return
        self.is_complete = message["type"] == "http.response.body" and not message.get("more_body")
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            for name, value in HEADERS:
                headers.setdefault(name, value)
            if self._is_bare_error(message["status"], headers):
                await self._replace(message)
                return
        await self._send(message)

    def _is_bare_error(self, status: int, headers: MutableHeaders) -> bool:
        plain = headers.get("content-type", "").startswith("text/plain")
        return status >= FIRST_ERROR_STATUS and plain and MEDIA_TYPE not in headers.values()

    async def _replace(self, start: Message) -> None:
        # The body limit and Starlette's ServerErrorMiddleware respond in text/plain, outside of
        # every exception handler.
        self._replaced = self.is_complete = True
        kept = {"x-request-id": self._request_id, "connection": "close"}
        response = problem_response(error_of_status(start["status"]), {**dict(HEADERS), **kept})
        await self._send(
            {
                "type": "http.response.start",
                "status": start["status"],
                "headers": response.raw_headers,
            }
        )
        await self._send({"type": "http.response.body", "body": response.body})
