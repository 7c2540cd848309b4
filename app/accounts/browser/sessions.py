"""Queries and writes of browser sessions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from app.accounts.browser.cookies import digest_of
from app.accounts.repository import ProjectRole
from app.accounts.tables import BrowserSession, Membership, Project, User
from app.core.database import announce, database_now
from app.core.ids import new_id
from app.core.wake_ups import ACCESS

SEEN_EVERY: Final = timedelta(minutes=1)
MAX_PER_USER: Final = 50
"""The oldest session ends when a user has more."""
MAX_USER_AGENT: Final = 200
MAX_ADDRESS: Final = 60


@dataclass(frozen=True)
class SessionHolder:
    """A valid session and its user.

    Attributes:
        session_id: of the session.
        user_id: of the user.
        user_name: of the user.
        is_administrator: whether the user administers the instance.
        projects: of the user.
        is_seen_late: whether `last_seen_at` is older than a minute.
    """

    session_id: str
    user_id: str
    user_name: str
    is_administrator: bool
    projects: tuple[ProjectRole, ...]
    is_seen_late: bool


@dataclass(frozen=True)
class Client:
    """The client of a request, as sessions and the audit log record it."""

    address: str | None
    user_agent: str | None = None
    request_id: str | None = None


def holder_of_session(session: Session, token: str, *, idle: timedelta) -> SessionHolder | None:
    """Return the session with this token and its user. One statement.

    Return None if the token is unknown, if the session was ended, has expired or was not used for
    `idle`, or if its user is disabled.
    """
    statement = (
        select(
            BrowserSession.id,
            User.id,
            User.name,
            User.is_admin,
            BrowserSession.last_seen_at < database_now(-SEEN_EVERY),
            Project.name,
            Project.id,
            Membership.role,
            Project.archived_at.is_not(None),
        )
        .join(User, User.id == BrowserSession.user_id)
        .outerjoin(Membership, Membership.user_id == User.id)
        .outerjoin(Project, Project.id == Membership.project_id)
        .where(
            BrowserSession.token_sha256 == digest_of(token),
            is_valid_session(idle),
            User.disabled_at.is_(None),
        )
        .order_by(Project.name)
    )
    rows = session.execute(statement).all()
    if not rows:
        return None
    session_id, user_id, user_name, is_admin, is_seen_late = rows[0][:5]
    return SessionHolder(
        session_id=session_id,
        user_id=user_id,
        user_name=user_name,
        is_administrator=is_admin,
        # A user without projects has a single row, with nulls.
        projects=tuple(ProjectRole(*row[5:]) for row in rows if None not in row),
        is_seen_late=is_seen_late,
    )


def insert_session(
    session: Session, user_id: str, token: str, client: Client, *, lifetime: timedelta
) -> str:
    """Insert a session and end the user's oldest ones beyond `MAX_PER_USER`; return its id."""
    session_id = new_id("ses")
    session.execute(
        insert(BrowserSession).values(
            id=session_id,
            user_id=user_id,
            token_sha256=digest_of(token),
            created_at=database_now(),
            expires_at=database_now(lifetime),
            last_seen_at=database_now(),
            address=(client.address or "")[:MAX_ADDRESS] or None,
            user_agent=_printable(client.user_agent),
        )
    )
    newest_beyond = (
        select(BrowserSession.id)
        .where(BrowserSession.user_id == user_id)
        .order_by(BrowserSession.id.desc())
        .offset(MAX_PER_USER)
        .limit(1)
        .scalar_subquery()
    )
    session.execute(
        delete(BrowserSession).where(
            BrowserSession.user_id == user_id, BrowserSession.id <= newest_beyond
        )
    )
    return session_id


def sessions_of(session: Session, user_id: str, *, idle: timedelta) -> Sequence[BrowserSession]:
    """Return the valid sessions of a user, newest first; at most `MAX_PER_USER`."""
    statement = select(BrowserSession).where(
        BrowserSession.user_id == user_id, is_valid_session(idle)
    )
    return session.scalars(statement.order_by(BrowserSession.id.desc())).all()


def delete_session(session: Session, user_id: str, session_id: str) -> bool:
    """Delete a session of a user; return whether it existed."""
    announce(session, ACCESS)
    found = session.execute(
        delete(BrowserSession)
        .where(BrowserSession.user_id == user_id, BrowserSession.id == session_id)
        .returning(BrowserSession.id)
    )
    return found.one_or_none() is not None


def delete_session_of_token(session: Session, token: str) -> tuple[str, str] | None:
    """Delete the session with this token; return the ids of session and user if it existed."""
    announce(session, ACCESS)
    found = session.execute(
        delete(BrowserSession)
        .where(BrowserSession.token_sha256 == digest_of(token))
        .returning(BrowserSession.id, BrowserSession.user_id)
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def delete_sessions(session: Session, user_id: str, *, but: str | None = None) -> int:
    """Delete all sessions of a user, except `but`; return their number."""
    announce(session, ACCESS)
    statement = delete(BrowserSession).where(BrowserSession.user_id == user_id)
    if but is not None:
        statement = statement.where(BrowserSession.id != but)
    return len(session.execute(statement.returning(BrowserSession.id)).all())


def note_seen(session: Session, session_ids: Collection[str]) -> None:
    """Set the time at which sessions were last used; ended ones stay ended."""
    session.execute(
        update(BrowserSession)
        .where(BrowserSession.id.in_(session_ids))
        .values(last_seen_at=database_now())
    )


def delete_expired_sessions(session: Session, *, idle: timedelta) -> int:
    """Delete the sessions that are no longer valid; return their number."""
    expired = delete(BrowserSession).where(
        or_(
            BrowserSession.expires_at <= database_now(),
            BrowserSession.last_seen_at <= database_now(-idle),
        )
    )
    return len(session.execute(expired.returning(BrowserSession.id)).all())


def is_valid_session(idle: timedelta) -> ColumnElement[bool]:
    """Return the condition that a session has not expired and was used within `idle`."""
    in_time: ColumnElement[bool] = BrowserSession.expires_at > database_now()
    return in_time & (BrowserSession.last_seen_at > database_now(-idle))


def _printable(user_agent: str | None) -> str | None:
    kept = "".join(each for each in user_agent or "" if each.isprintable())
    return kept[:MAX_USER_AGENT] or None
