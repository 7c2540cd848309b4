"""The JSON API as the pages use it: requests inside this process.

A page shows nothing that the API cannot answer, and a form changes nothing that the API would
refuse, because each page makes the same requests that any other client makes. They do not pass
through a socket. The credential of the page's request is looked up once for all of them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import anyio
from pydantic_core import from_json
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Scope

from app.core.errors import NotFound
from app.core.problems import problem_of

KEPT_OF_SCOPE: Final = (
    "asgi",
    "app",
    "client",
    "extensions",
    "http_version",
    "root_path",
    "scheme",
    "server",
    "type",
)
KEPT_HEADERS: Final = frozenset(
    {b"authorization", b"cookie", b"host", b"origin", b"sec-fetch-site", b"user-agent"}
)
FIRST_ERROR_STATUS: Final = 400

Query = Mapping[str, Any]


class ApiProblem(Exception):
    """The API refused a request; the browser gets the same problem as a page.

    Attributes:
        status: of HTTP.
        problem: the problem document.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", ""))
        self.status = status
        self.problem = problem

    @property
    def slug(self) -> str:
        """The last part of the problem's type, such as `not-found`."""
        return str(self.problem.get("type", "")).rpartition(":")[2]

    @property
    def fields(self) -> dict[str, str]:
        """The messages of invalid fields, by pointer."""
        return {each["pointer"]: each["message"] for each in self.problem.get("errors") or []}


@dataclass(frozen=True)
class Content:
    """The body of a request that is not JSON."""

    body: bytes
    media_type: str


@dataclass(frozen=True)
class Answer:
    """An answer of the API.

    Attributes:
        status: of HTTP.
        headers: with names in lower case.
        body: as it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:  # noqa: ANN401 -- any JSON document
        """The JSON document in the body; None for an empty one."""
        return from_json(self.body) if self.body else None


def path_below(path: str, name: str) -> str:
    """Return the path of the resource in a collection that an id or a name in a form names.

    Raises:
        ApiProblem: it is empty or has a slash, so that the path would lead to something else.
    """
    if not name or "/" in name:
        problem = problem_of(NotFound(f"There is nothing with the id or name {name!r}."))
        raise ApiProblem(problem.status, problem.model_dump())
    return f"{path}/{name}"


class Api:
    """The API, for the caller of one request.

    Args:
        request: of the page. Its cookie and its origin go with every request to the API.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._app: ASGIApp = request.app.state.api

    async def get(self, path: str, query: Query | None = None) -> Any:  # noqa: ANN401 -- any JSON
        """Return the document at a path.

        Args:
            path: such as `/v1/jobs`, not percent-encoded; `path_below` adds what people typed.
            query: its parameters; those that are None or empty are left out.

        Raises:
            ApiProblem: the API refused.
        """
        return (await self.answer("GET", path, query=query)).data

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 -- any JSON document
        *,
        query: Query | None = None,
    ) -> Any:  # noqa: ANN401 -- any JSON document
        """Send a JSON document and return the one in the answer.

        Raises:
            ApiProblem: the API refused.
        """
        return (await self.answer(method, path, query=query, document=body)).data

    async def answer(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        document: Any = None,  # noqa: ANN401 -- any JSON document
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the whole answer to a request.

        Args:
            method: of HTTP.
            path: such as `/v1/jobs`.
            query: its parameters; those that are None or empty are left out.
            document: the JSON document to send; None for none.
            content: what to send instead of a document; None for nothing.
            headers: more headers, such as If-Match.

        Raises:
            ApiProblem: the API refused.
        """
        if document is not None:
            content = Content(json.dumps(document).encode(), "application/json")
        own = {"accept": "application/json", **(headers or {})}
        if content is not None:
            length = str(len(content.body))
            own |= {"content-type": content.media_type, "content-length": length}
        collected = _Collected()
        scope = self._scope(method, path, query or {}, own)
        await self._app(scope, _receive_once(content.body if content else b""), collected.send)
        answer = collected.answer()
        if answer.status >= FIRST_ERROR_STATUS:
            raise ApiProblem(answer.status, answer.data)
        return answer

    def _scope(self, method: str, path: str, query: Query, own: Mapping[str, str]) -> Scope:
        outer = self._request.scope
        kept = [pair for pair in outer["headers"] if pair[0] in KEPT_HEADERS]
        given = {name: value for name, value in query.items() if value not in (None, "", [])}
        return {
            **{name: outer[name] for name in KEPT_OF_SCOPE if name in outer},
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(given, doseq=True).encode(),
            "headers": [
                *kept,
                *((name.lower().encode(), value.encode()) for name, value in own.items()),
            ],
            "state": outer["state"],
        }


class _Collected:
    """Collects the messages of an answer."""

    def __init__(self) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in message["headers"]
            }
        elif message["type"] == "http.response.body":
            self._parts.append(message.get("body", b""))

    def answer(self) -> Answer:
        return Answer(self._status, self._headers, b"".join(self._parts))


def _receive_once(body: bytes) -> Any:  # noqa: ANN401 -- Starlette's Receive
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await anyio.sleep_forever()  # a client that had left would get no streamed answer
        return messages.pop()

    return receive
