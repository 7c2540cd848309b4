"""The world `accounts`: users with roles in projects, their keys, and clients that send these."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any, Final

import httpx2 as httpx
from sqlalchemy import insert
from starlette.testclient import TestClient

from app.accounts.keys import ALL_SCOPES, new_key
from app.accounts.repository import NewKey, insert_key
from app.accounts.tables import KeyKind, MemberRole, Membership, Project, User
from app.core.database import Database, database_now
from app.core.ids import new_id

NUMBERS: Final = count(1)


@dataclass(frozen=True)
class Person:
    """A user, and the id and text of a key of theirs."""

    user_id: str
    name: str
    key_id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def public_id(self) -> str:
        return self.key.split("_")[2]


@dataclass(frozen=True)
class Caller:
    """Sends requests with the key of a person."""

    client: TestClient
    person: Person

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        return self.client.request(method, path, headers=self.person.headers, **more)

    @property
    def get(self) -> "partial[httpx.Response]":
        return partial(self, "GET")

    @property
    def post(self) -> "partial[httpx.Response]":
        return partial(self, "POST")


def a_project(database: Database, name: str = "") -> str:
    """Add a project without members; return its id."""
    project_id = new_id("prj")
    row = {"id": project_id, "name": name or f"project-{next(NUMBERS):04}"}
    with database.write() as unit:
        unit.session.execute(insert(Project).values(**row, created_at=database_now()))
    return project_id


def a_person(
    database: Database,
    roles: Mapping[str, MemberRole] | None = None,
    *,
    scopes: Iterable[str] = ALL_SCOPES,
    is_admin: bool = False,
    bound_to: str | None = None,
) -> Person:
    """Add a user with these roles by project id, and a key."""
    user_id, name = new_id("usr"), f"person-{next(NUMBERS):04}"
    with database.write() as unit:
        row = {"id": user_id, "name": name, "is_admin": is_admin, "created_at": database_now()}
        unit.session.execute(insert(User).values(row))
        for project_id, role in (roles or {}).items():
            member = {"user_id": user_id, "project_id": project_id, "role": role}
            unit.session.execute(insert(Membership).values(member))
    key_id, text = a_key(database, user_id, scopes=scopes, bound_to=bound_to)
    return Person(user_id, name, key_id, text)


def a_key(
    database: Database,
    user_id: str,
    *,
    scopes: Iterable[str] = ALL_SCOPES,
    bound_to: str | None = None,
    lifetime: timedelta | None = None,
) -> tuple[str, str]:
    """Add a key of a user; return the id of its row and its text."""
    key = new_key(KeyKind.USER)
    new = NewKey("a key", list(scopes), project_id=bound_to, lifetime=lifetime)
    with database.write() as unit:
        key_id = insert_key(unit.session, user_id, key, new)
    return key_id, str(key)
