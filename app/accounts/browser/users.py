"""Queries and writes of a user's own preferences."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.tables import Theme, User


def user_with_id(session: Session, user_id: str) -> User:
    """Return the user of a caller."""
    return session.scalars(select(User).where(User.id == user_id)).one()


def change_preferences(
    session: Session, user_id: str, *, theme: Theme | None, shortcuts: bool | None
) -> User:
    """Change what is not None, and return the user."""
    user = user_with_id(session, user_id)
    if theme is not None:
        user.theme = theme
    if shortcuts is not None:
        user.single_key_shortcuts = shortcuts
    session.flush()
    return user
