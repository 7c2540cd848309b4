"""The path below which a proxy publishes this server, such as `/trainyard`.

Requests may arrive with the prefix or without it, because some proxies strip it. Inside, no path
has it; what leaves the server as a URL is made by `link`, which adds it.
"""

from contextvars import ContextVar
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

_current: ContextVar[str] = ContextVar("path_prefix", default="")


def link(path: str) -> str:
    """Return the path at which a client of the current request finds `path` of this server."""
    return _current.get() + path


class PathPrefixMiddleware:
    """Pure ASGI middleware: removes the prefix from the paths of requests."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = _current.set(self._prefix)
        try:
            await self._app(self._without_prefix(scope), receive, send)
        finally:
            _current.reset(token)

    def _without_prefix(self, scope: Scope) -> Scope:
        path: str = scope["path"]
        if not self._prefix or not f"{path}/".startswith(f"{self._prefix}/"):
            return scope
        inner = path.removeprefix(self._prefix) or "/"
        return {**scope, "path": inner, "raw_path": quote(inner).encode()}
