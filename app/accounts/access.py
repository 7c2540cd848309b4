"""What many credentials may see now, looked up together."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from app.accounts.browser.sessions import is_valid_session
from app.accounts.keys import ALL_SCOPES
from app.accounts.tables import ApiKey, BrowserSession, Membership, User
from app.core.database import database_now


@dataclass(frozen=True)
class CredentialAccess:
    """What a valid credential may be used for, and the projects that it may see."""

    scopes: frozenset[str]
    project_ids: frozenset[str]


def access_of_keys(session: Session, public_ids: Collection[str]) -> Mapping[str, CredentialAccess]:
    """Return the access of the valid ones of these keys, by public id. One statement."""
    is_its_project = or_(ApiKey.project_id.is_(None), ApiKey.project_id == Membership.project_id)
    statement = (
        select(ApiKey.public_id, ApiKey.scopes, Membership.project_id)
        .join(User, User.id == ApiKey.user_id)
        .outerjoin(Membership, and_(Membership.user_id == ApiKey.user_id, is_its_project))
        .where(
            ApiKey.public_id.in_(public_ids),
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > database_now()),
            User.disabled_at.is_(None),
        )
    )
    scopes: dict[str, frozenset[str]] = {}
    projects: dict[str, set[str]] = {}
    for public_id, granted, project in session.execute(statement):
        scopes[public_id] = frozenset(granted)
        projects.setdefault(public_id, set()).update({project} - {None})
    return {each: CredentialAccess(scopes[each], frozenset(projects[each])) for each in scopes}


def access_of_sessions(
    session: Session, session_ids: Collection[str], *, idle: timedelta
) -> Mapping[str, CredentialAccess]:
    """Return the access of the valid ones of these browser sessions, by id. One statement."""
    statement = (
        select(BrowserSession.id, Membership.project_id)
        .join(User, User.id == BrowserSession.user_id)
        .outerjoin(Membership, Membership.user_id == User.id)
        .where(
            BrowserSession.id.in_(session_ids),
            is_valid_session(idle),
            User.disabled_at.is_(None),
        )
    )
    projects: dict[str, set[str]] = {}
    for session_id, project in session.execute(statement):
        projects.setdefault(session_id, set()).update({project} - {None})
    every = frozenset(ALL_SCOPES)
    return {each: CredentialAccess(every, frozenset(ids)) for each, ids in projects.items()}
