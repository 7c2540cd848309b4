"""Queries and writes of users, projects and API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, insert, or_, select
from sqlalchemy.orm import Session

from app.accounts.keys import KeyText
from app.accounts.tables import ApiKey, MemberRole, Membership, Project, User
from app.core.database import database_now
from app.core.ids import new_id

ADVISORY_LOCK_KEY = 0x6163_636F_756E_7473
"""The lock that starting servers take on PostgreSQL: the bytes of "accounts" as a number."""


@dataclass(frozen=True)
class KeyHolder:
    """The user of a key, its scopes, and the user's projects as (name, id)."""

    key_id: str
    user_id: str
    secret_sha256: bytes
    scopes: frozenset[str]
    projects: tuple[tuple[str, str], ...]


def holder_of(session: Session, public_id: str) -> KeyHolder | None:
    """Return the holder of a key, or None if the key is unknown, revoked or expired."""
    statement = select(ApiKey).where(
        ApiKey.public_id == public_id,
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > database_now()),
    )
    key = session.scalars(statement).one_or_none()
    if key is None:
        return None
    projects = (
        select(Project.name, Project.id)
        .join(Membership, Membership.project_id == Project.id)
        .where(Membership.user_id == key.user_id)
        .order_by(Project.name)
    )
    return KeyHolder(
        key_id=key.id,
        user_id=key.user_id,
        secret_sha256=key.secret_sha256,
        scopes=frozenset(key.scopes),
        projects=tuple((name, project_id) for name, project_id in session.execute(projects)),
    )


def lock_accounts(session: Session) -> None:
    """Serialize transactions that create the first user; on SQLite, writers are serial anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK_KEY)))


def first_user(session: Session) -> User | None:
    """Return the user that the first start created, or None before it."""
    return session.scalars(select(User).order_by(User.id).limit(1)).one_or_none()


def insert_user_with_project(session: Session, *, user: str, project: str) -> str:
    """Insert an administrator who owns a new project; return the user's id."""
    user_id, project_id = new_id("usr"), new_id("prj")
    now = database_now()
    session.execute(insert(User).values(id=user_id, name=user, is_admin=True, created_at=now))
    session.execute(insert(Project).values(id=project_id, name=project, created_at=now))
    session.execute(
        insert(Membership).values(user_id=user_id, project_id=project_id, role=MemberRole.OWNER)
    )
    return user_id


def insert_key(
    session: Session,
    user_id: str,
    key: KeyText,
    *,
    label: str,
    scopes: Sequence[str],
    lifetime: timedelta | None = None,
) -> str:
    """Insert a key with the hash of its secret; return the id of the row."""
    key_id = new_id("key")
    session.execute(
        insert(ApiKey).values(
            id=key_id,
            user_id=user_id,
            kind=key.kind,
            public_id=key.public_id,
            secret_sha256=key.secret_sha256,
            label=label,
            scopes=list(scopes),
            created_at=database_now(),
            expires_at=None if lifetime is None else database_now(lifetime),
        )
    )
    return key_id
