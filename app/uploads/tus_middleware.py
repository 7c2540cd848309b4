"""The parts of tus that concern every request and response of `/v1/uploads`, errors included."""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.uploads.headers import VERSION

PATH: Final = "/v1/uploads"
OVERRIDE: Final = "x-http-method-override"
OVERRIDING: Final = frozenset({"PATCH", "DELETE"})


class TusMiddleware:
    """Pure ASGI middleware: adds `Tus-Resumable` to responses, and reads the overridden method.

    Clients that cannot send PATCH or DELETE send POST with `X-HTTP-Method-Override`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_of_uploads(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_versioned(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Tus-Resumable"] = headers["Tus-Version"] = VERSION
            await send(message)

        method = Headers(scope=scope).get(OVERRIDE)
        if scope["method"] == "POST" and method in OVERRIDING:
            scope = {**scope, "method": method}
        await self._app(scope, receive, send_versioned)


def _is_of_uploads(path: str) -> bool:
    return path == PATH or path.startswith(f"{PATH}/")
