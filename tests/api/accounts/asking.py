"""Requests to each route of a server with two tenants, and what its answers must not contain."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx2 as httpx
from sqlalchemy import insert, update

from app.accounts.keys import new_key
from app.accounts.tables import ApiKey, KeyKind, MemberRole, Project, User
from app.core.database import database_now
from app.fleet.tables import Worker
from tests.api.accounts.access import ACCESS, ADMIN, Access, Route
from tests.worlds.accounts import Person, a_key, a_person
from tests.worlds.server import Api, on, serving
from tests.worlds.tenants import Tenant, a_tenant

UNKNOWN: Final = "unknown-"


@dataclass(frozen=True)
class World:
    """A server with two tenants and an archived one."""

    api: Api
    ours: Tenant
    theirs: Tenant
    archived: Tenant

    def ask(
        self, route: Route, key: str | None, tenant: Tenant, owner: Person, **query: str | int
    ) -> httpx.Response:
        """Send a complete request about objects of a tenant; `owner` has the uploads and keys."""
        method, template = route
        request = dict(ACCESS[route].request(tenant))
        headers = dict(request.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        params = request.pop("params", {}) | query
        path = tenant.path(template, owner)
        client = self.api.client
        with self.api.streams_ended() if path.endswith("/stream") else nullcontext():
            return client.request(method, path, headers=headers, params=params, **request)


def worlds(database_url: str, folder: Path) -> Iterator[World]:
    """Yield a server with two tenants and an archived one."""
    for api in serving(on(database_url, folder / "home")):
        del api.client.headers["Authorization"]
        ours, theirs, archived = (
            a_tenant(api.context, mark, folder) for mark in ("ours-4711", "theirs-0815", "old-1234")
        )
        with api.database.write() as unit:
            gone = update(Project).where(Project.id == archived.project_id)
            unit.session.execute(gone.values(archived_at=database_now()))
            unit.session.execute(
                insert(Worker).values(
                    id="wrk_shared",
                    node="node",
                    slot="cpu",
                    incarnation="1",
                    host="host",
                    queues=["default"],
                    gpus=0,
                    devices=[],
                    plugins=[],
                    version="1",
                    started_at=database_now(),
                    heartbeat_at=database_now(),
                )
            )
        yield World(api, ours, theirs, archived)


def problem_of(answer: httpx.Response) -> str:
    """Return the last part of a problem's type, or "" for another answer and for that of HEAD."""
    if "problem+json" not in answer.headers.get("content-type", "") or not answer.content:
        return ""
    kind: str = answer.json()["type"]
    return kind.rpartition(":")[2]


def wrong(
    routes: Iterable[Route], ask: Callable[[Route], httpx.Response], expected: Callable[..., bool]
) -> dict[str, str]:
    """Send each request; return the answers that are not as expected."""
    answers = {route: ask(route) for route in routes}
    return {
        " ".join(route): f"{answer.status_code} {answer.text[:300]}"
        for route, answer in answers.items()
        if not expected(route, answer)
    }


def routes_where(condition: Callable[[Access], bool]) -> list[Route]:
    return [route for route, access in ACCESS.items() if condition(access)]


def requiring(role: MemberRole) -> list[Route]:
    return routes_where(lambda access: access.role is role)


def foreign_routes() -> list[Route]:
    """Return the routes whose requests name objects of a tenant, in the path or elsewhere."""
    return [
        route
        for route, access in ACCESS.items()
        if (
            access.role is not None
            or any(name in route[1] for name in ("{key_id}", "{webhook_id}"))
        )
        and not access.administrator
    ]


def is_not_found(answer: httpx.Response) -> bool:
    """Return whether an answer is the one for objects that do not exist."""
    if answer.status_code == 404:
        return True
    return answer.status_code == 422 and problem_of(answer).startswith(UNKNOWN)


def without_ids(answer: httpx.Response) -> tuple[int, object]:
    document = answer.json() if answer.content else {}
    document.pop("request_id", None)
    return answer.status_code, document


def names(text: str, tenant: Tenant) -> bool:
    return any(mark in text for mark in tenant.marks)


def shows(answer: httpx.Response, tenant: Tenant) -> bool:
    """Return whether any text of a tenant is in the answer, other than what the request sent."""
    sent = str(answer.request.url)
    found = answer.content + json_headers(answer)
    return any(mark.encode() in found for mark in tenant.marks if mark not in sent)


def json_headers(answer: httpx.Response) -> bytes:
    return " ".join(answer.headers.values()).encode()


def bad_credential(world: World, kind: str) -> str | None:
    """Return a credential that is not valid; None for none at all."""
    database, admin = world.api.database, world.ours.people[ADMIN]
    text = a_key(database, admin.user_id)[1]
    match kind:
        case "none":
            return None
        case "malformed":
            return "nonsense"
        case "unknown":
            return str(new_key(KeyKind.USER))
        case "forged":
            return text[:28] + str(new_key(KeyKind.USER))[28:]
        case "expired":
            return a_key(database, admin.user_id, lifetime=timedelta(seconds=-1))[1]
        case "revoked":
            change = update(ApiKey).where(ApiKey.public_id == text.split("_")[2])
            change = change.values(revoked_at=database_now())
        case _:
            person = a_person(database, {world.ours.project_id: ADMIN})
            text = person.key
            change = update(User).where(User.id == person.user_id)
            change = change.values(disabled_at=database_now())
    with database.write() as unit:
        unit.session.execute(change)
    return text
