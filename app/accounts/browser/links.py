"""One-time links for the first administrator: each works once, for minutes, while needed."""

from datetime import timedelta

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.orm import Session

from app.accounts.browser.cookies import TOKEN, digest_of, new_token
from app.accounts.tables import LinkPurpose, SetupLink, User
from app.core.database import Database, database_now
from app.core.ids import new_id


def insert_link(database: Database, purpose: LinkPurpose, lifetime: timedelta) -> str:
    """Store a new link and return its token. Links that have expired are deleted."""
    token = new_token()
    with database.write() as unit:
        unit.session.execute(delete(SetupLink).where(SetupLink.expires_at <= database_now()))
        unit.session.execute(
            insert(SetupLink).values(
                id=new_id("set"),
                token_sha256=digest_of(token),
                purpose=purpose,
                created_at=database_now(),
                expires_at=database_now(lifetime),
            )
        )
    return token


def is_open_link(session: Session, token: str, purpose: LinkPurpose) -> bool:
    """Return whether a link can still be used, and no administrator has a password."""
    if TOKEN.fullmatch(token) is None:
        return False
    link = exists().where(
        SetupLink.token_sha256 == digest_of(token),
        SetupLink.purpose == purpose,
        SetupLink.used_at.is_(None),
        SetupLink.expires_at > database_now(),
    )
    return bool(session.scalar(select(link))) and not has_administrator_password(session)


def spend_link(session: Session, token: str) -> None:
    """Note that a link was used."""
    used = update(SetupLink).where(SetupLink.token_sha256 == digest_of(token))
    session.execute(used.values(used_at=database_now()))


def has_administrator_password(session: Session) -> bool:
    """Return whether an administrator has a password, so that no link is needed."""
    found = exists().where(User.is_admin.is_(True), User.password_hash.is_not(None))
    return bool(session.scalar(select(found)))
