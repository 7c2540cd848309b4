"""Queries and writes of users, projects and API keys."""

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

from app.accounts.keys import KeyText
from app.accounts.tables import ApiKey, MemberRole, Membership, Project, User
from app.core.database import UtcDateTime, database_now
from app.core.ids import new_id

ADVISORY_LOCK_KEY = 0x6163_636F_756E_7473
"""The lock that starting servers take on PostgreSQL: the bytes of "accounts" as a number."""


KeyRow = Row[*tuple[Any, ...]]


class ProjectRole(NamedTuple):
    """A project of a user, and the user's role in it."""

    name: str
    id: str
    role: MemberRole
    is_archived: bool = False


@dataclass(frozen=True)
class KeyHolder:
    """A valid key: its user, its scopes, and the projects that it may be used for.

    `is_administrator` is false for a key for one project, also of an administrator.
    """

    user_id: str
    user_name: str
    is_administrator: bool
    scopes: frozenset[str]
    projects: tuple[ProjectRole, ...]
    bound_project_id: str | None
    expires_at: datetime | None
    label: str


# Built once: building this statement takes longer than running it, and every request runs it.
_HOLDERS = (
    select(
        ApiKey.public_id,
        ApiKey.kind,
        ApiKey.key_sha256,
        ApiKey.secret_sha256,
        ApiKey.user_id,
        ApiKey.scopes,
        ApiKey.project_id.label("bound_project_id"),
        ApiKey.expires_at,
        ApiKey.label,
        User.name.label("user_name"),
        User.is_admin,
        Project.name.label("project_name"),
        Project.id.label("project_id"),
        Membership.role,
        Project.archived_at.is_not(None).label("is_archived"),
    )
    .join(User, User.id == ApiKey.user_id)
    .outerjoin(
        Membership,
        and_(
            Membership.user_id == ApiKey.user_id,
            or_(ApiKey.project_id.is_(None), ApiKey.project_id == Membership.project_id),
        ),
    )
    .outerjoin(Project, Project.id == Membership.project_id)
    .where(
        ApiKey.public_id.in_(bindparam("public_ids", expanding=True)),
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > database_now()),
        User.disabled_at.is_(None),
    )
    .order_by(Project.name)
)


def holders_of(session: Session, keys: Collection[KeyText]) -> dict[KeyText, KeyHolder]:
    """Return the holders of those keys that are valid. One statement.

    A key is not valid if it is unknown, revoked or expired, if its user is disabled, or if any part
    of its text differs from the key that was made.
    """
    parameters = {"public_ids": [key.public_id for key in keys]}
    rows: dict[str, list[KeyRow]] = {}
    for row in session.connection().execute(_HOLDERS, parameters):
        rows.setdefault(row.public_id, []).append(row)
    return {
        key: _holder(rows[key.public_id])
        for key in keys
        if key.public_id in rows and is_text_of(rows[key.public_id][0], key)
    }


def _holder(rows: Sequence[KeyRow]) -> KeyHolder:
    key = rows[0]
    return KeyHolder(
        user_id=key.user_id,
        user_name=key.user_name,
        is_administrator=key.is_admin and key.bound_project_id is None,
        scopes=frozenset(key.scopes),
        projects=tuple(
            ProjectRole(row.project_name, row.project_id, row.role, row.is_archived)
            for row in rows
            if row.project_id is not None  # a user without projects has a single row, with nulls
        ),
        bound_project_id=key.bound_project_id,
        expires_at=key.expires_at,
        label=key.label,
    )


def is_text_of(row: ApiKey | KeyRow, key: KeyText) -> bool:
    """Return whether a row belongs to exactly this key; the row has its public id."""
    if row.key_sha256 is not None:
        return hmac.compare_digest(row.key_sha256, key.sha256)
    right_secret = hmac.compare_digest(row.secret_sha256 or b"", key.secret_sha256)
    return right_secret and row.kind == key.kind


def lock_accounts(session: Session) -> None:
    """Serialize transactions that create the first user; on SQLite, writers are serial anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK_KEY)))


def first_user(session: Session) -> User | None:
    """Return the user that the first start created, or None before it."""
    return session.scalars(select(User).order_by(User.id).limit(1)).one_or_none()


def first_administrator(session: Session) -> User | None:
    """Return the first administrator who is not disabled, or None without one."""
    statement = select(User).where(User.is_admin.is_(True), User.disabled_at.is_(None))
    return session.scalars(statement.order_by(User.id).limit(1)).one_or_none()


def insert_user_with_project(session: Session, *, user: str, project: str) -> str:
    """Insert an administrator who owns a new project; return the user's id."""
    user_id, project_id = new_id("usr"), new_id("prj")
    now = database_now()
    session.execute(insert(User).values(id=user_id, name=user, is_admin=True, created_at=now))
    session.execute(insert(Project).values(id=project_id, name=project, created_at=now))
    session.execute(
        insert(Membership).values(user_id=user_id, project_id=project_id, role=MemberRole.ADMIN)
    )
    return user_id


@dataclass(frozen=True)
class NewKey:
    """What a new key may be used for.

    Attributes:
        label: its purpose.
        scopes: what it may be used for.
        project_id: the one project that it may be used for; None for all of its user's.
        lifetime: how long it is valid; None for ever.
        not_after: when it ends at the latest; None for no such limit.
        replaces_id: the row of the key that it replaces.
    """

    label: str
    scopes: Sequence[str]
    project_id: str | None = None
    lifetime: timedelta | None = None
    not_after: datetime | None = None
    replaces_id: str | None = None


def insert_key(session: Session, user_id: str, key: KeyText, new: NewKey) -> str:
    """Insert a key with the hash of its text; return the id of the row."""
    key_id = new_id("key")
    session.execute(
        insert(ApiKey).values(
            id=key_id,
            user_id=user_id,
            kind=key.kind,
            public_id=key.public_id,
            key_sha256=key.sha256,
            label=new.label,
            scopes=list(new.scopes),
            project_id=new.project_id,
            replaces_id=new.replaces_id,
            created_at=database_now(),
            expires_at=_end_of(new),
        )
    )
    return key_id


def _end_of(new: NewKey) -> datetime | ColumnElement[datetime] | None:
    if new.lifetime is None:
        return new.not_after
    end = database_now(new.lifetime)
    if new.not_after is None:
        return end
    latest = literal(new.not_after, UtcDateTime())
    return case((end < latest, end), else_=latest)
