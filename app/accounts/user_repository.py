"""Queries and writes of users, for administrators."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.errors import NameTaken, UserNotFound
from app.accounts.tables import User
from app.core.database import announce, database_now
from app.core.ids import new_id
from app.core.wake_ups import ACCESS

REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}\Z")
"""Names and ids have this form. Other text is never sent to the database."""


def user_page(session: Session, *, after: str | None, limit: int) -> Sequence[User]:
    """Return up to `limit` users whose names come after a name, by name."""
    statement = select(User).order_by(User.name).limit(limit)
    if after is not None:
        statement = statement.where(User.name > after)
    return session.scalars(statement).all()


def user_named(session: Session, reference: str) -> User:
    """Return the user with this id, or else with this name.

    Raises:
        UserNotFound: there is none.
    """
    if REFERENCE.match(reference) is None:
        raise UserNotFound
    for column in (User.id, User.name):
        user = session.scalars(select(User).where(column == reference)).one_or_none()
        if user is not None:
            return user
    raise UserNotFound


def insert_user(session: Session, *, name: str, is_admin: bool) -> User:
    """Insert a user without a password.

    Raises:
        NameTaken: another user has the name.
    """
    values = {"id": new_id("usr"), "name": name, "is_admin": is_admin, "created_at": database_now()}
    try:
        return session.scalars(insert(User).values(values).returning(User)).one()
    except IntegrityError:
        raise NameTaken("user") from None


def update_user(session: Session, user_id: str, values: Mapping[str, object]) -> User:
    """Change columns of a user and return the row.

    Raises:
        NameTaken: another user has the name.
    """
    announce(session, ACCESS)
    statement = update(User).where(User.id == user_id).values(values).returning(User)
    try:
        return session.scalars(statement.execution_options(populate_existing=True)).one()
    except IntegrityError:
        raise NameTaken("user") from None


def has_other_administrator(session: Session, user_id: str) -> bool:
    """Return whether someone else administers the instance and is not disabled."""
    statement = select(func.count()).where(
        User.is_admin.is_(True), User.disabled_at.is_(None), User.id != user_id
    )
    return bool(session.scalar(statement))
