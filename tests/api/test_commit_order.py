"""The server commits before it answers and before it rings; no answer waits for the broker.

The application is driven as raw ASGI, so that the first byte of the response is seen when it is
sent, and every writing route is driven: a new one fails here until it has a request below.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import event

from app.main import create_app
from app.settings import Settings
from tests.api.writing_requests import CALLS, Call
from tests.worlds.rows import a_ready_dataset

if TYPE_CHECKING:
    from app.core.context import Context

pytestmark = pytest.mark.mostly_sqlite

WRITING = {"POST", "PUT", "PATCH", "DELETE"}
STORING_NOTHING = {
    ("POST", "/v1/datasets/missing-files"),
    ("POST", "/v1/jobs/parse"),
    ("POST", "/v1/jobs/validate"),
    ("POST", "/v1/jobs/{job_id}/extend/validate"),
}
RINGS = {
    ("POST", "/v1/jobs"),
    ("POST", "/v1/jobs/bulk"),
    *(
        ("POST", f"/v1/jobs/{{job_id}}/{asked}")
        for asked in ("resume", "stop", "retry", "clone", "extend")
    ),
}


@dataclass
class Driven:
    """The events of one request, in order, and the status of its answer."""

    happened: list[str] = field(default_factory=list)
    status: int = 0


@contextmanager
def a_broker_that_never_answers() -> Iterator[str]:
    """A socket that accepts and stays silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        try:
            while True:
                held.append(listener.accept()[0])
        except OSError:
            return

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()


def credential_of(call: Call, key: str) -> list[tuple[bytes, bytes]]:
    if call.session is None:
        return [(b"authorization", f"Bearer {key}".encode())]
    cookie = f"trainyard={call.session}".encode()
    return [(b"cookie", cookie), (b"sec-fetch-site", b"same-origin")]


async def drive(app: FastAPI, call: Call, key: str, driven: Driven) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": call.body, "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401 -- an ASGI message
        if message["type"] == "http.response.start":
            driven.happened.append("answer")
            driven.status = message["status"]

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": call.path.encode(),
        "query_string": call.query.encode(),
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1"),
            *credential_of(call, key),
            (b"content-type", call.media_type.encode()),
            (b"content-length", str(len(call.body)).encode()),
            *call.headers,
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)


def answer(settings: Settings, route: tuple[str, str], tmp_path: Path, *, record: bool) -> Driven:
    """Start the application, send one request, and return its events in order."""
    driven = Driven()

    async def run() -> None:
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            context: Context = app.state.context
            rows = a_ready_dataset(context.database)
            call = CALLS[route](context, rows, tmp_path)
            if record:
                watch(app, driven)
            key = (settings.home / "api-key").read_text().strip()
            await drive(app, call, key, driven)

    anyio.run(run)
    return driven


def watch(app: FastAPI, driven: Driven) -> None:
    context: Context = app.state.context

    def committed(_: object) -> None:
        # Readers end by rollback; reconciler and verifier commit in threads of their own.
        if threading.current_thread().name == "AnyIO worker thread":
            driven.happened.append("commit")

    event.listen(context.database.engine, "commit", committed)
    app.state.context = replace(
        context, ring=lambda *_: driven.happened.append("ring"), wake_verifier=lambda: None
    )


class TestEveryWritingRoute:
    def test_every_writing_route_has_a_request_here(self, settings: Settings) -> None:
        paths = create_app(settings).openapi()["paths"]

        routes = {
            (method.upper(), path)
            for path, item in paths.items()
            for method in item
            if method.upper() in WRITING
        }
        assert routes - STORING_NOTHING == set(CALLS)

    @pytest.mark.parametrize("route", CALLS, ids=" ".join)
    def test_every_writing_route_commits_before_it_answers_and_before_it_rings(
        self, settings: Settings, route: tuple[str, str], tmp_path: Path
    ) -> None:
        driven = answer(settings, route, tmp_path, record=True)

        expected = ["commit", "ring", "answer"] if route in RINGS else ["commit", "answer"]
        assert driven.status < 300
        assert driven.happened == expected

    @pytest.mark.parametrize("route", CALLS, ids=" ".join)
    @pytest.mark.mostly_sqlite
    def test_every_writing_route_answers_while_the_broker_hangs(
        self, settings: Settings, route: tuple[str, str], tmp_path: Path
    ) -> None:
        with a_broker_that_never_answers() as url:
            hanging = Settings(
                home=settings.home,
                database_url=settings.database_url,
                broker_url=SecretStr(url),
            )
            driven = answer(hanging, route, tmp_path, record=False)

        assert driven.status < 300
