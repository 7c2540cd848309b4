"""The outermost layer of the server: request ids, host allow-list, and unhandled exceptions.

Every response has an `X-Request-Id` and the headers of `app.core.response_headers`, and every error
is problem+json. Requests for an unknown `Host` are refused, because DNS rebinding can direct a
browser to loopback.
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
from app.core.response_headers import FIRST_ERROR_STATUS, complete
from app.core.url_credentials import CredentialInUrl, has_credential
from app.core.writers import as_request

log = get_logger(__name__)

HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?\Z")
LOCAL_NAMES = frozenset({"localhost"})
OF_ANY_HOST: Final = frozenset({"/livez", "/readyz"})
"""Load balancers ask these by address, or with HTTP/1.0 and no `Host`. They reveal nothing."""


class BadHost(BadRequest):
    """The `Host` header is not one of this server's names."""

    slug, title = "bad-host", "Unknown host"

    def __init__(self) -> None:
        super().__init__(
            "The Host header is not one of this server's names. The operator can add a name to "
            "the setting allowed_hosts (TRAINYARD_ALLOWED_HOSTS)."
        )


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
        body = _Body(scope, receive)
        answer = _Answer(send, request_id, body, is_tls=scope.get("scheme") == "https")
        try:
            refusal = self._refusal_of(scope)
            answered = self._app if refusal is None else problem_response(refusal)
            with as_request():
                await answered(scope, body.receive, answer.send)
        except Exception:
            log.exception("request.failed", method=scope["method"])
            if answer.is_complete:
                return
            if answer.started:
                raise
            error = TrainyardError("The server failed; its log has details under the request id.")
            await problem_response(error)(scope, body.receive, answer.send)

    def _refusal_of(self, scope: Scope) -> TrainyardError | None:
        if not self._is_known_host(scope):
            return BadHost()
        if has_credential(scope):
            return CredentialInUrl()
        if "\x00" in scope["path"]:
            # PostgreSQL refuses NUL in the parameters of a query.
            return NotFound("There is nothing at this path.")
        return None

    def _is_known_host(self, scope: Scope) -> bool:
        is_open = scope["path"] in OF_ANY_HOST
        values = Headers(scope=scope).getlist("host")
        if not values:
            return is_open and scope["http_version"] == "1.0"
        match = HOST.match(values[0]) if len(values) == 1 else None
        if match is None:
            return False
        name = match["name"].strip("[]").lower()
        if is_open or name in LOCAL_NAMES or name in self._allowed_hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


class _Body:
    """Knows whether the request has a body of which something has not been read."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        self._receive = receive
        self.is_unread = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self.is_unread = False
        return message


class _Answer:
    """Adds our headers, and replaces plain-text errors of the framework by problem+json."""

    def __init__(self, send: Send, request_id: str, body: _Body, *, is_tls: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._body = body
        self._is_tls = is_tls
        self._replaced = False
        self.started = False
        self.is_complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and self._replaced:
            return
        self.is_complete = message["type"] == "http.response.body" and not message.get("more_body")
        if message["type"] == "http.response.start":
            self.started = True
            if self._is_bare_error(message["status"], MutableHeaders(scope=message)):
                await self._replace(message)
                return
            self._complete(message)
        await self._send(message)

    def _is_bare_error(self, status: int, headers: MutableHeaders) -> bool:
        plain = headers.get("content-type", "").startswith("text/plain")
        return status >= FIRST_ERROR_STATUS and plain and MEDIA_TYPE not in headers.values()

    async def _replace(self, start: Message) -> None:
        # Starlette's ServerErrorMiddleware responds in text/plain, outside of every exception
        # handler.
        self._replaced = self.is_complete = True
        response = problem_response(error_of_status(start["status"]), {"Connection": "close"})
        replaced = {**start, "headers": response.raw_headers}
        self._complete(replaced)
        await self._send(replaced)
        await self._send({"type": "http.response.body", "body": response.body})

    def _complete(self, start: Message) -> None:
        headers = MutableHeaders(scope=start)
        headers["X-Request-Id"] = self._request_id
        complete(headers, start["status"], is_tls=self._is_tls)
        if start["status"] >= FIRST_ERROR_STATUS and self._body.is_unread:
            headers["Connection"] = "close"  # the rest of the body may be endless
