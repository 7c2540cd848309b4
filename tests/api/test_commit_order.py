"""The server commits before it answers and before it rings; no answer waits for the broker.

The application is driven as raw ASGI, so that the first byte of the response is seen when it is
sent, and every writing route is driven: a new one fails here until it has a request below.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import event, update

from app.accounts.browser.cookies import new_token
from app.accounts.browser.sessions import Client, insert_session
from app.accounts.browser.setup import new_setup_link
from app.accounts.tables import User
from app.core.context import Context
from app.core.database import database_now
from app.jobs.states import JobState
from app.main import create_app
from app.settings import Settings
from app.uploads.creation import begin_upload
from app.uploads.repository import NewUpload
from app.uploads.tables import Upload
from tests.api.browser.browsers import HASH, NAME, PASSWORD
from tests.datasets.builders import a_detect_zip
from tests.jobs.trained import train
from tests.worlds.accounts import a_key, a_person
from tests.worlds.rows import SPEC, Rows, a_checkpoint, a_dataset, a_job, a_ready_dataset

TUS = (b"tus-resumable", b"1.0.0")
WRITING = {"POST", "PUT", "PATCH", "DELETE"}
STORING_NOTHING = {
    ("POST", "/v1/datasets/missing-files"),
    ("POST", "/v1/jobs/validate"),
    ("POST", "/v1/jobs/{job_id}/extend/validate"),
}
RINGS = {
    ("POST", "/v1/jobs"),
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


@dataclass(frozen=True)
class Call:
    """One ASGI request."""

    method: str
    path: str
    body: bytes = b""
    media_type: str = "application/json"
    query: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    session: str | None = None
    """The token of a session, which is sent instead of the key."""


def a_spec(rows: Rows) -> bytes:
    return json.dumps({"dataset": rows.dataset_id, "model": "yolo26n.yaml"}).encode()


def unused_dataset(context: Context, rows: Rows) -> str:
    with context.database.write() as unit:
        return a_dataset(unit.session, rows.project_id, rows.user_id, name="unused")[0]


def asked(what: str, **columns: object) -> Callable[[Context, Rows, Path], Call]:
    """Return a function that makes the request for a new job with these columns."""
    return lambda context, rows, _p: Call(
        "POST", f"/v1/jobs/{a_job(context.database, rows, **columns)}/{what}"
    )


def a_job_with_a_checkpoint(context: Context, rows: Rows) -> str:
    job_id = a_job(context.database, rows)
    a_checkpoint(context.database, job_id)
    return job_id


def an_upload(context: Context, rows: Rows, size: int = 10) -> str:
    new = NewUpload(rows.project_id, rows.user_id, "a.zip", size, None)
    return begin_upload(context, new).id


def a_finished_upload(context: Context, rows: Rows, path: Path) -> str:
    archive = a_detect_zip(path / "set.zip")
    stored = context.store.put_file(archive)
    upload_id = an_upload(context, rows, stored.size_bytes)
    with context.database.write() as unit:
        done = {"offset_bytes": stored.size_bytes, "sha256": stored.sha256}
        unit.session.execute(update(Upload).where(Upload.id == upload_id).values(**done))
    return upload_id


def a_spare_key(context: Context, rows: Rows) -> tuple[str, str]:
    return a_key(context.database, rows.user_id)


def a_trained_job(context: Context, rows: Rows) -> str:
    resolved = {"dataset": rows.version_id, "task": "detect", "on_oom": "fail"}
    job_id = a_job(context.database, rows, resolved_spec=SPEC | resolved)
    train(context.database, job_id, (0.1, 0.2), states=(2,))
    return job_id


def a_sign_in(context: Context) -> bytes:
    with context.database.write() as unit:
        unit.session.execute(update(User).values(password_hash=HASH))
    return json.dumps({"name": NAME, "password": PASSWORD}).encode()


def a_session(context: Context, rows: Rows) -> tuple[str, str]:
    """Start a session; return its id and its token."""
    token = new_token()
    with context.database.write() as unit:
        lifetime = timedelta(days=1)
        session_id = insert_session(
            unit.session, rows.user_id, token, Client(None), lifetime=lifetime
        )
    return session_id, token


CALLS: dict[tuple[str, str], Callable[[Context, Rows, Path], Call]] = {
    ("POST", "/v1/jobs"): lambda _c, rows, _p: Call("POST", "/v1/jobs", a_spec(rows)),
    ("PATCH", "/v1/jobs/{job_id}"): lambda context, rows, _p: Call(
        "PATCH", f"/v1/jobs/{a_job(context.database, rows)}", b'{"name": "new"}'
    ),
    ("POST", "/v1/jobs/{job_id}/cancel"): asked("cancel"),
    ("POST", "/v1/jobs/{job_id}/pause"): asked("pause"),
    ("POST", "/v1/jobs/{job_id}/resume"): asked("resume", state=JobState.PAUSED),
    ("POST", "/v1/jobs/{job_id}/stop"): lambda context, rows, _p: Call(
        "POST", f"/v1/jobs/{a_job_with_a_checkpoint(context, rows)}/stop"
    ),
    ("POST", "/v1/jobs/{job_id}/retry"): asked("retry", state=JobState.FAILED),
    ("DELETE", "/v1/jobs/{job_id}"): lambda context, rows, _p: Call(
        "DELETE", f"/v1/jobs/{a_job(context.database, rows, state=JobState.FAILED)}"
    ),
    ("POST", "/v1/jobs/{job_id}/restore"): asked(
        "restore", state=JobState.FAILED, trashed_at=database_now()
    ),
    ("POST", "/v1/jobs/{job_id}/clone"): lambda context, rows, _p: Call(
        "POST",
        f"/v1/jobs/{a_job(context.database, rows)}/clone",
        json.dumps({"dataset": rows.dataset_id}).encode(),
    ),
    ("POST", "/v1/jobs/{job_id}/extend"): lambda context, rows, _p: Call(
        "POST", f"/v1/jobs/{a_trained_job(context, rows)}/extend", b'{"epochs": 6}'
    ),
    ("POST", "/v1/datasets"): lambda _c, _h, path: Call(
        "POST",
        "/v1/datasets",
        a_detect_zip(path / "set.zip").read_bytes(),
        "application/zip",
        "name=new",
    ),
    ("POST", "/v1/datasets/from-files"): lambda context, rows, path: Call(
        "POST",
        "/v1/datasets/from-files",
        json.dumps({"path": "a.jpg", "sha256": "0" * 64, "size": 9}).encode(),
        "application/x-ndjson",
        f"name=new&upload={a_finished_upload(context, rows, path)}",
    ),
    ("POST", "/v1/datasets/from-upload"): lambda context, rows, path: Call(
        "POST",
        "/v1/datasets/from-upload",
        json.dumps({"upload": a_finished_upload(context, rows, path), "name": "new"}).encode(),
    ),
    ("POST", "/v1/uploads"): lambda _c, _r, _p: Call(
        "POST", "/v1/uploads", headers=(TUS, (b"upload-length", b"10"))
    ),
    ("PATCH", "/v1/uploads/{upload_id}"): lambda context, rows, _p: Call(
        "PATCH",
        f"/v1/uploads/{an_upload(context, rows)}",
        b"a part",
        "application/offset+octet-stream",
        headers=(TUS, (b"upload-offset", b"0")),
    ),
    ("DELETE", "/v1/uploads/{upload_id}"): lambda context, rows, _p: Call(
        "DELETE", f"/v1/uploads/{an_upload(context, rows)}", headers=(TUS,)
    ),
    ("POST", "/v1/datasets/{reference}/versions"): lambda _c, rows, _p: Call(
        "POST", f"/v1/datasets/{rows.dataset_id}/versions", b'{"policy": "strict"}'
    ),
    ("POST", "/session"): lambda context, _r, _p: Call("POST", "/session", a_sign_in(context)),
    ("DELETE", "/session"): lambda context, rows, _p: Call(
        "DELETE", "/session", session=a_session(context, rows)[1]
    ),
    ("POST", "/setup/{token}"): lambda context, _r, _p: Call(
        "POST",
        f"/setup/{new_setup_link(context.database)}",
        json.dumps({"name": "ada", "password": PASSWORD}).encode(),
    ),
    ("PATCH", "/v1/me"): lambda context, rows, _p: Call(
        "PATCH", "/v1/me", b'{"theme": "dark"}', session=a_session(context, rows)[1]
    ),
    ("DELETE", "/v1/me/sessions/{session_id}"): lambda context, rows, _p: Call(
        "DELETE",
        f"/v1/me/sessions/{a_session(context, rows)[0]}",
        session=a_session(context, rows)[1],
    ),
    ("PUT", "/v1/projects/{project_id}/quotas"): lambda _c, rows, _p: Call(
        "PUT", f"/v1/projects/{rows.project_id}/quotas", b'{"queued_jobs": 9}'
    ),
    ("PUT", "/v1/users/{user_id}/quotas"): lambda _c, rows, _p: Call(
        "PUT", f"/v1/users/{rows.user_id}/quotas", b'{"queued_jobs": 9}'
    ),
    ("DELETE", "/v1/datasets/{reference}"): lambda context, rows, _p: Call(
        "DELETE", f"/v1/datasets/{unused_dataset(context, rows)}"
    ),
    ("POST", "/v1/keys"): lambda _c, _r, _p: Call(
        "POST", "/v1/keys", b'{"label": "new", "scopes": ["jobs:read"]}'
    ),
    ("POST", "/v1/keys/revoke"): lambda context, rows, _p: Call(
        "POST", "/v1/keys/revoke", json.dumps({"key": a_spare_key(context, rows)[1]}).encode()
    ),
    ("POST", "/v1/keys/{key_id}/rotate"): lambda context, rows, _p: Call(
        "POST", f"/v1/keys/{a_spare_key(context, rows)[0]}/rotate", b"{}"
    ),
    ("DELETE", "/v1/keys/{key_id}"): lambda context, rows, _p: Call(
        "DELETE", f"/v1/keys/{a_spare_key(context, rows)[0]}"
    ),
    ("POST", "/v1/users"): lambda _c, _r, _p: Call("POST", "/v1/users", b'{"name": "ada"}'),
    ("PATCH", "/v1/users/{reference}"): lambda context, _r, _p: Call(
        "PATCH", f"/v1/users/{a_person(context.database).user_id}", b'{"disabled": true}'
    ),
    ("POST", "/v1/projects"): lambda _c, _r, _p: Call("POST", "/v1/projects", b'{"name": "cells"}'),
    ("PATCH", "/v1/projects/{reference}"): lambda _c, rows, _p: Call(
        "PATCH", f"/v1/projects/{rows.project_id}", b'{"archived": true}'
    ),
    ("PUT", "/v1/projects/{reference}/members/{user}"): lambda context, rows, _p: Call(
        "PUT",
        f"/v1/projects/{rows.project_id}/members/{a_person(context.database).name}",
        b'{"role": "viewer"}',
    ),
    ("DELETE", "/v1/projects/{reference}/members/{user}"): lambda _c, rows, _p: Call(
        "DELETE", f"/v1/projects/{rows.project_id}/members/{rows.user_id}"
    ),
}


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
