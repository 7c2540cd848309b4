"""Errors as pages: a browser that asked for a page gets the problem as HTML.

A browser without a valid session is sent to the sign-in page, and comes back after it.
"""

import json
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.media_types import preferred
from app.core.path_prefix import link
from app.core.problems import MEDIA_TYPE, error_of_status, problem_of
from app.web.api import ApiProblem
from app.web.pages import rendered

JSON: Final = "application/json"
HTML: Final = "text/html"
PLAIN: Final = "text/plain"
UNAUTHENTICATED: Final = 401
FIRST_SERVER_ERROR: Final = 500
API_PATHS: Final = ("/v1/", "/session", "/setup/", "/openapi.json")
"""Paths of the API, which answers browsers as it answers everyone."""


def answer_api_problem(_: Request, error: Exception) -> Response:
    """Return the problem that the API gave to a page's request."""
    assert isinstance(error, ApiProblem)  # noqa: S101 -- narrows for the type checker
    return JSONResponse(error.problem, error.status, media_type=MEDIA_TYPE)


class HtmlErrors:
    """Pure ASGI middleware: problem documents become pages where a browser asked for a page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_for_person(scope):
            await self._app(scope, receive, send)
            return
        answer = _HeldProblem(send)
        try:
            await self._app(scope, receive, answer.send)
        finally:  # the framework answers an unexpected exception, and raises it again
            if answer.problem is not None:
                response = await _page_of(Request(scope), answer.problem)
                await response(scope, receive, send)


def _is_for_person(scope: Scope) -> bool:
    if f"{scope['path']}/".startswith(API_PATHS):
        return False
    accept = ", ".join(Headers(scope=scope).getlist("accept"))
    return preferred(accept, [JSON, HTML]) == HTML


async def _page_of(request: Request, problem: dict[str, Any]) -> Response:
    status = problem["status"]
    if status == UNAUTHENTICATED and request.method in {"GET", "HEAD"}:
        asked = link(request.scope["path"])
        query = request.scope["query_string"].decode("latin-1")
        to = f"{asked}?{query}" if query else asked
        location = f"{link('/sign-in')}?{urlencode({'next': to})}"
        return Response(status_code=303, headers={"Location": location})
    return await rendered(request, "error.html", {"problem": problem}, status=status)


class _HeldProblem:
    """Passes an answer on, but for a problem document, which it keeps."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 0
        self._is_bare = False
        self._is_held = False
        self._body = b""
        self.problem: dict[str, Any] | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            media_type = Headers(raw=message["headers"]).get("content-type", "")
            self._is_bare = self._status >= FIRST_SERVER_ERROR and media_type.startswith(PLAIN)
            self._is_held = self._is_bare or media_type.startswith(MEDIA_TYPE)
        if not self._is_held:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                self.problem = self._problem()

    def _problem(self) -> dict[str, Any]:
        if self._is_bare:
            return problem_of(error_of_status(self._status)).model_dump()
        problem: dict[str, Any] = json.loads(self._body)
        return problem
