"""What each route requires: scope, role, and a request that is complete but for that.

A new route fails `test_deny_by_default.py` until it has a row here.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.accounts.tables import MemberRole
from tests.worlds.rows import SHA
from tests.worlds.tenants import Tenant, a_body

Route = tuple[str, str]
Request = Mapping[str, Any]

VIEWER, MEMBER, ADMIN = MemberRole
TUS: Final = {"Tus-Resumable": "1.0.0"}
OPEN: Final[frozenset[Route]] = frozenset(
    {
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/version"),
        ("POST", "/session"),
        ("GET", "/session/links/{token}"),
        ("POST", "/session/links/{token}"),
        ("POST", "/v1/logins"),
        ("POST", "/v1/logins/poll"),
        ("GET", "/setup/{token}"),
        ("POST", "/setup/{token}"),
    }
)
"""Routes that answer everyone."""


@dataclass(frozen=True)
class Access:
    """What a route requires of its caller.

    Attributes:
        scope: of the key; None: any valid key will do.
        role: in the project of the object; None: the route shows or changes what is the caller's.
        administrator: the route is for administrators of the instance.
        request: returns the rest of a request about objects of this tenant.
    """

    scope: str | None
    role: MemberRole | None = None
    administrator: bool = False
    request: Callable[[Tenant], Request] = lambda _: {}


def _listing(tenant: Tenant, name: str) -> Request:
    line = f'{{"path": "a.jpg", "sha256": "{SHA}", "size": 9}}\n'
    return {
        "params": {"project": tenant.project, **({"name": name} if name else {})},
        "content": line,
        "headers": {"Content-Type": "application/x-ndjson"},
    }


def _spec(tenant: Tenant) -> Request:
    return a_body(dataset=tenant.rows.dataset_id, model="yolo26n.yaml", project=tenant.project)


def _archive(tenant: Tenant) -> Request:
    return {
        "params": {"name": "new", "project": tenant.project},
        "content": b"PK",
        "headers": {"Content-Type": "application/zip"},
    }


def _weights(tenant: Tenant) -> Request:
    content = b"PK\x03\x04"
    digest = hashlib.sha256(content).hexdigest()
    return {
        "params": {"name": "new.pt", "sha256": digest, "project": tenant.project},
        "content": content,
        "headers": {"Content-Type": "application/octet-stream"},
    }


def _from_upload(tenant: Tenant) -> Request:
    upload = next(iter(tenant.uploads.values()))
    return a_body(upload=upload, name="new", project=tenant.project)


def _webhook(tenant: Tenant) -> Request:
    return a_body(project=tenant.project, url="https://8.8.8.8/", events=["job.*"])


def _chunk(_: Tenant) -> Request:
    kind = "application/offset+octet-stream"
    return {"content": b"ab", "headers": TUS | {"Upload-Offset": "0", "Content-Type": kind}}


def _new_upload(tenant: Tenant) -> Request:
    return {"headers": TUS | {"Upload-Length": "9", "Upload-Metadata": tenant.metadata}}


def _tus(_: Tenant) -> Request:
    return {"headers": TUS}


def _jobs(tenant: Tenant) -> Request:
    return {"params": {"jobs": tenant.job_id}}


def _of_jobs() -> dict[Route, Access]:
    one = "/v1/jobs/{job_id}"
    control = ("/cancel", "/pause", "/resume", "/stop", "/retry")
    return {
        ("GET", "/v1/jobs"): Access("jobs:read"),
        ("GET", "/v1/queues"): Access("jobs:read"),
        ("GET", "/v1/queue"): Access("jobs:read"),
        ("GET", "/v1/events"): Access("jobs:read"),
        ("GET", "/v1/events/stream"): Access("jobs:read"),
        ("GET", "/v1/metrics"): Access("jobs:read", request=_jobs),
        ("GET", "/v1/schema/job"): Access("jobs:read"),
        ("POST", "/v1/jobs"): Access("jobs:write", MEMBER, request=_spec),
        ("POST", "/v1/jobs/parse"): Access(
            "jobs:read",
            request=lambda _: {"content": "epochs=3", "headers": {"Content-Type": "text/plain"}},
        ),
        ("POST", "/v1/jobs/validate"): Access("jobs:write", MEMBER, request=_spec),
        ("POST", "/v1/jobs/bulk"): Access(
            "jobs:write", request=lambda tenant: a_body(do="pause", jobs=[tenant.job_id])
        ),
        ("PATCH", one): Access("jobs:write", MEMBER, request=lambda _: a_body(name="new")),
        **{("POST", one + action): Access("jobs:write", MEMBER) for action in control},
        ("POST", one + "/clone"): Access(
            "jobs:write", MEMBER, request=lambda tenant: a_body(project=tenant.project)
        ),
        ("POST", one + "/extend"): Access("jobs:write", MEMBER, request=lambda _: a_body(epochs=9)),
        ("POST", one + "/extend/validate"): Access(
            "jobs:write", MEMBER, request=lambda _: a_body(epochs=9)
        ),
        ("DELETE", one): Access("jobs:write", ADMIN),
        ("POST", one + "/restore"): Access("jobs:write", ADMIN),
    }


def _of_records() -> dict[Route, Access]:
    one = "/v1/jobs/{job_id}"
    read: tuple[str, ...] = ("", "/plan", "/class-weights", "/waiting", "/attempts", "/logs")
    read += ("/metrics", "/metrics/classes", "/metrics/system", "/curves", "/images/worst")
    read += ("/events", "/events/stream", "/checkpoints", "/artifacts")
    both = ("/artifacts/{name}", "/artifacts.zip", "/checkpoints/{epoch}/{name}")
    previews = ("/artifacts/{name}/preview", "/images/worst/{image}/preview")
    files = [("GET", one + part) for part in (*both, *previews)]
    files += [("HEAD", one + part) for part in both]
    return {
        **{("GET", one + part): Access("jobs:read", VIEWER) for part in read},
        **{route: Access("artifacts:read", VIEWER) for route in files},
    }


def _of_datasets() -> dict[Route, Access]:
    one = "/v1/datasets/{reference}"
    read: tuple[str, ...] = (
        "",
        "/report",
        "/classes",
        "/versions",
        "/findings",
        "/samples",
        "/previews/{number}",
    )
    read += ("/statistics", "/duplicates", "/files", "/diff", "/export")
    write = "datasets:write"
    return {
        ("GET", "/v1/datasets"): Access("datasets:read"),
        ("POST", "/v1/datasets"): Access(write, MEMBER, request=_archive),
        ("POST", "/v1/datasets/missing-files"): Access(
            "datasets:read", VIEWER, request=lambda tenant: _listing(tenant, "")
        ),
        ("POST", "/v1/datasets/from-files"): Access(
            write, MEMBER, request=lambda tenant: _listing(tenant, "new")
        ),
        ("POST", "/v1/datasets/from-upload"): Access(write, MEMBER, request=_from_upload),
        **{("GET", one + part): Access("datasets:read", VIEWER) for part in read},
        ("POST", one + "/versions"): Access(
            write, MEMBER, request=lambda _: a_body(policy="strict")
        ),
        ("DELETE", one): Access(write, ADMIN),
    }


def _of_uploads() -> dict[Route, Access]:
    one, write = "/v1/uploads/{upload_id}", "datasets:write"
    return {
        ("OPTIONS", "/v1/uploads"): Access("datasets:read"),
        ("GET", "/v1/uploads"): Access("datasets:read"),
        ("POST", "/v1/uploads"): Access(write, MEMBER, request=_new_upload),
        ("GET", one): Access("datasets:read", VIEWER),
        ("HEAD", one): Access("datasets:read", VIEWER, request=_tus),
        ("PATCH", one): Access(write, MEMBER, request=_chunk),
        ("DELETE", one): Access(write, MEMBER, request=_tus),
    }


def _of_accounts() -> dict[Route, Access]:
    key, user, project = "/v1/keys/{key_id}", "/v1/users/{reference}", "/v1/projects/{reference}"
    member = project + "/members/{user}"
    return {
        ("GET", "/v1/keys"): Access("keys:read"),
        ("POST", "/v1/keys"): Access(
            "keys:write", request=lambda _: a_body(label="new", scopes=["keys:write"])
        ),
        ("POST", "/v1/keys/revoke"): Access(None, request=lambda _: a_body(key="unknown")),
        ("GET", key): Access("keys:read"),
        ("POST", key + "/rotate"): Access("keys:write", request=lambda _: a_body()),
        ("DELETE", key): Access("keys:write"),
        ("GET", "/v1/users"): Access("users:read", administrator=True),
        ("POST", "/v1/users"): Access(
            "users:write", administrator=True, request=lambda _: a_body(name="new")
        ),
        ("GET", user): Access("users:read", administrator=True),
        ("PATCH", user): Access("users:write", administrator=True, request=lambda _: a_body()),
        ("PUT", user + "/password"): Access(
            "users:write",
            administrator=True,
            request=lambda _: a_body(password="quite another 7"),
        ),
        ("GET", "/v1/projects"): Access("projects:read"),
        ("POST", "/v1/projects"): Access(
            "projects:write", administrator=True, request=lambda _: a_body(name="new")
        ),
        ("GET", project): Access("projects:read", VIEWER),
        ("PATCH", project): Access(
            "projects:write", administrator=True, request=lambda _: a_body(archived=False)
        ),
        ("GET", project + "/members"): Access("projects:read", VIEWER),
        ("GET", member): Access("projects:read", VIEWER),
        ("PUT", member): Access("projects:write", ADMIN, request=lambda _: a_body(role="viewer")),
        ("DELETE", member): Access("projects:write", ADMIN),
    }


def _of_sessions() -> dict[Route, Access]:
    """Return the routes of the caller's own account, most of which need a session, not a key."""
    session, login = "/v1/me/sessions/{session_id}", "/v1/logins/{user_code}"
    return {
        ("DELETE", "/session"): Access(None),
        ("GET", "/v1/me"): Access(None),
        ("PATCH", "/v1/me"): Access(None, request=lambda _: a_body()),
        ("PUT", "/v1/me/password"): Access(
            None,
            request=lambda _: a_body(password="quite another 7"),
        ),
        ("GET", "/v1/me/sessions"): Access(None),
        ("DELETE", session): Access(None),
        ("GET", login): Access(None),
        ("POST", login + "/confirm"): Access(None),
        ("POST", login + "/refuse"): Access(None),
    }


def _of_operations() -> dict[Route, Access]:
    project, user = "/v1/projects/{project_id}/quotas", "/v1/users/{user_id}/quotas"
    return {
        ("GET", "/v1/audit"): Access("audit:read", administrator=True),
        ("GET", project): Access("projects:read", VIEWER),
        ("PUT", project): Access(
            "projects:write", administrator=True, request=lambda _: a_body(queued_jobs=9)
        ),
        ("GET", user): Access("users:read"),
        ("PUT", user): Access(
            "users:write", administrator=True, request=lambda _: a_body(queued_jobs=9)
        ),
    }


def _of_webhooks() -> dict[Route, Access]:
    """Return the routes of webhooks; those that read take the role admin in an archived project."""
    one, write = "/v1/webhooks/{webhook_id}", "webhooks:write"
    return {
        ("GET", "/v1/webhooks"): Access("webhooks:read"),
        ("POST", "/v1/webhooks"): Access(write, ADMIN, request=_webhook),
        ("GET", one): Access("webhooks:read"),
        ("PATCH", one): Access(write, ADMIN, request=lambda _: a_body(description="new")),
        ("POST", one + "/rotate"): Access(write, ADMIN, request=lambda _: a_body()),
        ("POST", one + "/test"): Access(write, ADMIN),
        ("GET", one + "/deliveries"): Access("webhooks:read"),
        ("POST", one + "/deliveries/{delivery_id}/resend"): Access(write, ADMIN),
        ("DELETE", one): Access(write, ADMIN),
    }


ACCESS: Final[Mapping[Route, Access]] = {
    **_of_jobs(),
    **_of_records(),
    **_of_datasets(),
    **_of_uploads(),
    **_of_accounts(),
    **_of_sessions(),
    **_of_operations(),
    **_of_webhooks(),
    ("GET", "/v1/models"): Access("models:read"),
    ("GET", "/v1/models/{reference}"): Access("models:read", VIEWER),
    ("POST", "/v1/models"): Access("models:write", MEMBER, request=_weights),
    ("DELETE", "/v1/models/{reference}"): Access("models:write", ADMIN),
    ("GET", "/v1/workers"): Access("workers:read"),
    **{
        ("POST", f"/v1/workers/{{worker_id}}/{action}"): Access("workers:write", administrator=True)
        for action in ("drain", "cordon", "uncordon")
    },
    ("GET", "/v1/trainers"): Access("workers:read"),
}
