"""A complete request for each route that writes; `test_commit_order.py` sends them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import update

from app.accounts.browser.cookies import new_token
from app.accounts.browser.sessions import Client, insert_session
from app.accounts.browser.setup import new_setup_link
from app.accounts.browser.sign_in_links import new_sign_in_link
from app.accounts.logins.log_in import begin_login
from app.accounts.logins.requests import LoginRequest
from app.accounts.tables import Login, LoginState, User
from app.core.context import Context
from app.core.database import database_now
from app.fleet.tables import Cordon
from app.jobs.states import JobState
from app.uploads.creation import begin_upload
from app.uploads.repository import NewUpload
from app.uploads.tables import Upload
from tests.api.browser.browsers import HASH, NAME, PASSWORD
from tests.api.webhook_requests import WEBHOOK_BODIES, webhook_path
from tests.datasets.builders import a_detect_zip
from tests.jobs.slots import a_slot
from tests.jobs.trained import train
from tests.models.builders import a_model
from tests.worlds.accounts import a_key, a_person
from tests.worlds.rows import SPEC, Rows, a_checkpoint, a_dataset, a_job

WEIGHTS = b"PK\x03\x04 weights"
TUS = (b"tus-resumable", b"1.0.0")


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


def of_slot(action: str) -> Callable[[Context, Rows, Path], Call]:
    """Return a function that makes the request for a new slot, which is cordoned for uncordon."""
    cordon = Cordon.CORDONED if action == "uncordon" else None
    return lambda context, _r, _p: Call(
        "POST", f"/v1/workers/{a_slot(context.database, cordon=cordon)}/{action}"
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


def a_confirmed_login(context: Context, rows: Rows) -> bytes:
    """Return the request of the program that takes the key of a confirmed login."""
    begun = begin_login(context.database, LoginRequest(host="laptop"), Client(None))
    with context.database.write() as unit:
        confirmed = {"state": LoginState.CONFIRMED, "user_id": rows.user_id}
        unit.session.execute(update(Login).values(**confirmed))
    return json.dumps({"device_code": begun.device_code}).encode()


def of_login(decision: str) -> Callable[[Context, Rows, Path], Call]:
    """Return a function that makes the request of a session about a new login."""

    def make(context: Context, rows: Rows, _: Path) -> Call:
        begun = begin_login(context.database, LoginRequest(host="laptop"), Client(None))
        path = f"/v1/logins/{begun.user_code}/{decision}"
        return Call("POST", path, session=a_session(context, rows)[1])

    return make


def a_session(context: Context, rows: Rows) -> tuple[str, str]:
    """Start a session; return its id and its token."""
    token = new_token()
    with context.database.write() as unit:
        lifetime = timedelta(days=1)
        session_id = insert_session(
            unit.session, rows.user_id, token, Client(None), lifetime=lifetime
        )
    return session_id, token


def of_webhooks(method: str, template: str, body: bytes) -> Callable[[Context, Rows, Path], Call]:
    return lambda context, rows, _p: Call(method, webhook_path(context, rows, template), body)


CALLS: dict[tuple[str, str], Callable[[Context, Rows, Path], Call]] = {
    ("POST", "/v1/jobs"): lambda _c, rows, _p: Call("POST", "/v1/jobs", a_spec(rows)),
    ("POST", "/v1/jobs/bulk"): lambda context, rows, _p: Call(
        "POST",
        "/v1/jobs/bulk",
        json.dumps(
            {"do": "retry", "jobs": [a_job(context.database, rows, state=JobState.FAILED)]}
        ).encode(),
    ),
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
    ("POST", "/session/links/{token}"): lambda context, _r, _p: Call(
        "POST", f"/session/links/{new_sign_in_link(context.database)}"
    ),
    ("PATCH", "/v1/me"): lambda context, rows, _p: Call(
        "PATCH", "/v1/me", b'{"theme": "dark"}', session=a_session(context, rows)[1]
    ),
    ("PUT", "/v1/me/password"): lambda context, rows, _p: Call(
        "PUT",
        "/v1/me/password",
        b'{"password": "quite another 7"}',
        session=a_session(context, rows)[1],
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
    ("POST", "/v1/models"): lambda _c, _r, _p: Call(
        "POST",
        "/v1/models",
        WEIGHTS,
        "application/octet-stream",
        f"name=new.pt&sha256={hashlib.sha256(WEIGHTS).hexdigest()}",
    ),
    ("DELETE", "/v1/models/{reference}"): lambda context, rows, _p: Call(
        "DELETE", f"/v1/models/{a_model(context.database, 'a.pt', project_id=rows.project_id).id}"
    ),
    **{route: of_webhooks(*route, body) for route, body in WEBHOOK_BODIES.items()},
    ("DELETE", "/v1/datasets/{reference}"): lambda context, rows, _p: Call(
        "DELETE", f"/v1/datasets/{unused_dataset(context, rows)}"
    ),
    ("POST", "/v1/logins"): lambda _c, _r, _p: Call("POST", "/v1/logins", b'{"host": "laptop"}'),
    ("POST", "/v1/logins/poll"): lambda context, rows, _p: Call(
        "POST", "/v1/logins/poll", a_confirmed_login(context, rows)
    ),
    **{
        ("POST", f"/v1/logins/{{user_code}}/{decision}"): of_login(decision)
        for decision in ("confirm", "refuse")
    },
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
    ("PUT", "/v1/users/{reference}/password"): lambda context, _r, _p: Call(
        "PUT",
        f"/v1/users/{a_person(context.database).user_id}/password",
        b'{"password": "quite another 7"}',
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
    **{
        ("POST", f"/v1/workers/{{worker_id}}/{action}"): of_slot(action)
        for action in ("drain", "cordon", "uncordon")
    },
}
