"""One log line for each request, and one more for what security depends on.

`http.request` is the access log. `security` is written for refusals (401, 403, 429 and others that
protect the server) and for downloads. Neither has a query, a body or a credential's secret.
"""

import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.logging import get_logger
from app.core.plain_text import shown
from app.core.url_credentials import has_credential

log = get_logger(__name__)

QUIET_PATHS: Final = frozenset({"/livez", "/readyz"})
REFUSALS: Final = frozenset({401, 403, 429})
REFUSED_PROBLEMS: Final = frozenset({"bad-host", "credential-in-url", "csrf", "setup-closed"})
HIDDEN_PATH: Final = "(a URL with a key)"
LINK_TOKEN: Final = re.compile(r"(/set-?up/|/session/links/|/sign-in/link/)[^/]+")

client_address: ContextVar[str | None] = ContextVar("client_address", default=None)
"""Network address of the client of the running request."""


class AccessLog:
    """Pure ASGI middleware around everything else; it changes nothing.

    Args:
        app: the application.
        is_on: whether to write the access log; the security log is always written.
        clock: seconds, for the duration of requests.
    """

    def __init__(
        self, app: ASGIApp, *, is_on: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._is_on = is_on
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        client = scope.get("client")
        client_address.set(client[0] if client else None)
        started = self._clock()
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        finally:
            duration = round((self._clock() - started) * 1000, 1)
            self._write(scope, answer, duration)

    def _write(self, scope: Scope, answer: "_Answer", duration_ms: float) -> None:
        state: dict[str, Any] = scope["state"]
        facts = {
            "method": scope["method"],
            "path": _shown_path(scope),
            "status": answer.status,
            "address": client_address.get(),
            "credential": getattr(state.get("principal"), "credential", None),
            "request_id": answer.request_id,
        }
        problem = state.get("problem")
        if answer.status in REFUSALS or problem in REFUSED_PROBLEMS:
            log.warning("security", outcome="refused", problem=problem, **facts)
        elif answer.is_download:
            log.info("security", outcome="downloaded", bytes=answer.body_bytes, **facts)
        if self._is_on and scope["path"] not in QUIET_PATHS:
            log.info("http.request", bytes=answer.body_bytes, duration_ms=duration_ms, **facts)


def _shown_path(scope: Scope) -> str:
    """Return the path without what must not be kept: keys, tokens of links, hidden text."""
    if has_credential(scope):
        return HIDDEN_PATH
    return shown(LINK_TOKEN.sub(r"\1...", scope["path"]))


class _Answer:
    """Notes the status, the request id and the size of a response."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.request_id: str | None = None
        self.is_download = False
        self.body_bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            self.status = message["status"]
            self.request_id = headers.get("x-request-id")
            self.is_download = headers.get("content-disposition", "").startswith("attachment")
        elif message["type"] == "http.response.body":
            self.body_bytes += len(message.get("body", b""))
        await self._send(message)
