"""A caller of the application that counts how often the body of its request is read."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import anyio
from fastapi.routing import APIRoute
from starlette.types import Message, Scope

from app.core.strict_json import OpenRoute
from tests.worlds.server import Api

OPEN = {"/livez", "/readyz", "/version"}
ANY_ID = "job_" + "0" * 26


@dataclass
class Heard:
    """The response to one request, and how often the application asked for the request's body."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reads: int = 0

    @property
    def slug(self) -> str:
        kind: str = json.loads(self.body)["type"]
        return kind.removeprefix("urn:trainyard:problem:")


def call(
    api: Api,
    method: str,
    path: str,
    sent: Mapping[str, str],
    body: Iterable[bytes] = (),
    **changes: object,
) -> Heard:
    """Send a request with these headers and a local host; `changes` replace parts of the scope."""
    raw_path, _, query = path.partition("?")
    given = {"host": "localhost", **sent}
    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": raw_path,
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "scheme": "http",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 80),
        "state": {},
        **changes,
    }
    heard, parts = Heard(), iter(body)
    is_complete = False

    async def receive() -> Message:
        nonlocal is_complete
        heard.reads += 1
        if is_complete:
            await anyio.sleep_forever()  # until the client leaves, which it does not
        part = next(parts, None)
        is_complete = part is None
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            heard.status = message["status"]
            heard.headers = {
                name.decode().lower(): value.decode() for name, value in message["headers"]
            }
        else:
            heard.body += message.get("body", b"")

    assert api.client.portal is not None
    api.client.portal.call(api.app, scope, receive, send)
    return heard


def is_open(route: APIRoute) -> bool:
    """Return whether strangers may use a route."""
    return isinstance(route, OpenRoute) or route.path in OPEN


def routes_of(api: Api) -> Iterator[tuple[str, str, APIRoute]]:
    """Yield method, path and route of every route that requires a key."""
    for route in api.app.state.routes:
        if isinstance(route, APIRoute) and not is_open(route):
            for method in sorted(route.methods or ()):
                yield method, route.path_format.format_map(AnyId()), route


class AnyId(dict[str, object]):
    def __missing__(self, name: str) -> object:
        return 1 if name == "number" else ANY_ID
