"""Queries and writes of users, projects and API keys."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, insert, literal, or_, select
from sqlalchemy.orm import Session

from app.accounts.keys import KeyText
from app.accounts.tables import ApiKey, MemberRole, Membership, Project, User
from app.core.database import UtcDateTime, database_now
from app.core.ids import new_id

ADVISORY_LOCK_KEY = 0x6163_636F_756E_7473
"""The lock that starting servers take on PostgreSQL: the bytes of "accounts" as a number."""


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


def holder_of(session: Session, key: KeyText) -> KeyHolder | None:
    """Return the holder of a key.

    Return None if the key is unknown, revoked or expired, if its user is disabled, or if any part
    of its text differs from the key that was made. One statement.
    """
    statement = (
        select(
            ApiKey,
            User.name,
            User.is_admin,
            Project.name,
            Project.id,
            Membership.role,
            Project.archived_at.is_not(None),
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
            ApiKey.public_id == key.public_id,
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > database_now()),
            User.disabled_at.is_(None),
        )
        .order_by(Project.name)
    )
    rows = session.execute(statement).all()
    if not rows or not is_text_of(rows[0][0], key):
        return None
    row, user_name, is_admin = rows[0][:3]
    return KeyHolder(
        user_id=row.user_id,
        user_name=user_name,
        is_administrator=is_admin and row.project_id is None,
        scopes=frozenset(row.scopes),
        # A user without projects has a single row, with nulls.
        projects=tuple(ProjectRole(*found[3:]) for found in rows if None not in found),
        bound_project_id=row.project_id,
        expires_at=row.expires_at,
        label=row.label,
    )


def is_text_of(row: ApiKey, key: KeyText) -> bool:
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
