"""Queries and writes of API keys: which ones a caller sees, and how they end."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, or_, select, true, update
from sqlalchemy.orm import Session

from app.accounts.errors import KeyNotFound
from app.accounts.keys import KeyText
from app.accounts.repository import is_text_of
from app.accounts.tables import ApiKey, Project, User
from app.core.database import announce, database_now
from app.core.wake_ups import ACCESS

REFERENCE: Final = re.compile(
    r"(?P<id>key_[0-9A-Z]{26})\Z|(?:trainyard_[a-z]+_)?(?P<public_id>[0-9A-Za-z]{12})\Z"
)
"""Other text is never sent to the database: PostgreSQL, for example, refuses text with a NUL."""


class ListedKey(NamedTuple):
    """A key with the names of its user and project."""

    row: ApiKey
    owner: str
    project: str | None

    def fields(self) -> dict[str, Any]:
        """Return what is shown of a key, in the API and by commands."""
        row = self.row
        return {
            "id": row.id,
            "label": row.label,
            "prefix": f"trainyard_{row.kind}_{row.public_id}",
            "kind": row.kind,
            "project": self.project,
            "scopes": row.scopes,
            "owner": self.owner,
            "created_at": row.created_at,
            "last_used_at": row.last_used_at,
            "expires_at": row.expires_at,
            "never_expires": row.expires_at is None,
            "revoked_at": row.revoked_at,
            "replaces": row.replaces_id,
        }


@dataclass(frozen=True)
class KeyFilter:
    """Which keys a caller sees: their own, and those that are bound to a project they administer.

    Attributes:
        user_id: the caller.
        bound_project_id: the project of the caller's own key; other keys are hidden from it.
        admin_of: ids of the projects in which the caller has the role admin.
        sees_all: an administrator of the instance.
    """

    user_id: str
    bound_project_id: str | None
    admin_of: frozenset[str]
    sees_all: bool

    def condition(self) -> ColumnElement[bool]:
        """Return the condition that selects the keys."""
        if self.sees_all:
            return true()
        own = ApiKey.user_id == self.user_id
        if self.bound_project_id is not None:
            own = and_(own, ApiKey.project_id == self.bound_project_id)
        return or_(own, ApiKey.project_id.in_(self.admin_of))


EVERY_KEY: Final = KeyFilter("", None, frozenset(), sees_all=True)
"""What a command on the server's machine sees."""


def key_page(
    session: Session, seen: KeyFilter, *, after: str | None, limit: int
) -> Sequence[ListedKey]:
    """Return up to `limit` keys older than the id `after`, newest first."""
    statement = _listed().where(seen.condition())
    if after is not None:
        statement = statement.where(ApiKey.id < after)
    rows = session.execute(statement.order_by(ApiKey.id.desc()).limit(limit))
    return [ListedKey(*row) for row in rows]


def visible_key(session: Session, seen: KeyFilter, reference: str) -> ListedKey:
    """Return a key by its id, or by the part of its text that lists show.

    Raises:
        KeyNotFound: the caller sees no such key.
    """
    row = session.execute(_listed().where(seen.condition(), _named(reference))).one_or_none()
    if row is None:
        raise KeyNotFound
    return ListedKey(*row)


def lock_visible_key(session: Session, seen: KeyFilter, reference: str) -> ListedKey:
    """Return a key like `visible_key`, with its row locked."""
    statement = _listed().where(seen.condition(), _named(reference))
    row = session.execute(statement.with_for_update(of=ApiKey)).one_or_none()
    if row is None:
        raise KeyNotFound
    return ListedKey(*row)


def lock_key_with_text(session: Session, key: KeyText) -> ApiKey | None:
    """Return the row of exactly this key, locked, whether the key is still valid or not."""
    statement = select(ApiKey).where(ApiKey.public_id == key.public_id).with_for_update()
    row = session.scalars(statement).one_or_none()
    return row if row is not None and is_text_of(row, key) else None


def is_ended(session: Session, key_id: str) -> bool:
    """Return whether a key is revoked or has expired."""
    statement = select(
        or_(ApiKey.revoked_at.is_not(None), ApiKey.expires_at <= database_now())
    ).where(ApiKey.id == key_id)
    return bool(session.scalars(statement).one())


def successor_of(session: Session, key_id: str) -> str | None:
    """Return the id of the key that replaces a key, if there is one."""
    return session.scalars(select(ApiKey.id).where(ApiKey.replaces_id == key_id)).first()


def revoke(session: Session, key_id: str) -> None:
    """End a key now; a revoked key keeps the time of its revocation."""
    statement = update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
    session.execute(statement.values(revoked_at=database_now()))
    announce(session, ACCESS)


def expire_in(session: Session, key_id: str, overlap: timedelta) -> None:
    """Let a key end after `overlap`, unless it ends earlier anyway."""
    end = database_now(overlap)
    is_later = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > end)
    session.execute(
        update(ApiKey)
        .where(ApiKey.id == key_id)
        .values(expires_at=case((is_later, end), else_=ApiKey.expires_at))
    )
    announce(session, ACCESS)


def record_uses(session: Session, public_ids: Collection[str]) -> None:
    """Write that these keys are used now.

    A row that another server is writing is left out: its time is the same to the minute, and two
    servers that wait for each other's rows could wait for ever.
    """
    free = select(ApiKey.id).where(ApiKey.public_id.in_(public_ids)).order_by(ApiKey.id)
    ids = session.scalars(free.with_for_update(skip_locked=True)).all()
    session.execute(update(ApiKey).where(ApiKey.id.in_(ids)).values(last_used_at=database_now()))


def _listed() -> Select[ApiKey, str, str | None]:
    return (
        select(ApiKey, User.name, Project.name)
        .join(User, User.id == ApiKey.user_id)
        .outerjoin(Project, Project.id == ApiKey.project_id)
    )


def _named(reference: str) -> ColumnElement[bool]:
    found = REFERENCE.match(reference)
    if found is None:
        raise KeyNotFound
    if found["id"] is not None:
        return ApiKey.id == found["id"]
    return ApiKey.public_id == found["public_id"]
