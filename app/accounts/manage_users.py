"""Create and change users; an administrator remains in every case."""

from sqlalchemy.orm import Session

from app.accounts.browser.sessions import delete_sessions
from app.accounts.entity_tags import check_tag, tag_of_user
from app.accounts.errors import LastAdministrator
from app.accounts.repository import lock_accounts
from app.accounts.requests import UserChange, UserRequest
from app.accounts.tables import User
from app.accounts.user_repository import (
    has_other_administrator,
    insert_user,
    update_user,
    user_named,
)
from app.audit.record import Actor, record_change
from app.core.database import Database, database_now


def create_user(database: Database, actor: Actor, request: UserRequest) -> User:
    """Create a user, who is no member of any project yet.

    Raises:
        NameTaken: another user has the name.
    """
    with database.write() as unit:
        user = insert_user(unit.session, name=request.name, is_admin=request.administrator)
        record_change(
            unit.session,
            actor,
            "user.created",
            target=user.id,
            details={"name": user.name, "administrator": user.is_admin},
        )
    return user


def change_user(
    database: Database,
    actor: Actor,
    reference: str,
    change: UserChange,
    *,
    if_match: str | None = None,
) -> User:
    """Rename, promote, demote, disable or enable a user.

    Disabling ends the user's sessions. Keys are refused while the user is disabled.

    Raises:
        UserNotFound: there is no user with this id or name.
        ChangedMeanwhile: the user is not as in `if_match`.
        NameTaken: another user has the name.
        LastAdministrator: no other user administers the instance.
    """
    with database.write() as unit:
        # Otherwise two administrators could demote each other at the same time.
        lock_accounts(unit.session)
        user = user_named(unit.session, reference)
        check_tag(tag_of_user(user), if_match)
        happened = _happened(user, change)
        if not happened:
            return user
        if {"user.disabled", "user.demoted"} & happened.keys() and _is_last(unit.session, user):
            raise LastAdministrator
        values = {name: value for values in happened.values() for name, value in values.items()}
        before = user.name
        user = update_user(unit.session, user.id, values)
        if "user.disabled" in happened:
            delete_sessions(unit.session, user.id)
        for action in happened:
            details = {"name": user.name, "name_before": before}
            record_change(unit.session, actor, action, target=user.id, details=details)
    return user


def _happened(user: User, change: UserChange) -> dict[str, dict[str, object]]:
    """Return the columns that change, by the action that the audit log names."""
    happened: dict[str, dict[str, object]] = {}
    if change.name not in {None, user.name}:
        happened["user.renamed"] = {"name": change.name}
    if change.administrator not in {None, user.is_admin}:
        action = "user.promoted" if change.administrator else "user.demoted"
        happened[action] = {"is_admin": change.administrator}
    if change.disabled not in {None, user.disabled_at is not None}:
        action = "user.disabled" if change.disabled else "user.enabled"
        happened[action] = {"disabled_at": database_now() if change.disabled else None}
    return happened


def _is_last(session: Session, user: User) -> bool:
    is_active = user.is_admin and user.disabled_at is None
    return is_active and not has_other_administrator(session, user.id)
