"""Sign in and out, and change passwords."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.browser.attempts import Attempts
from app.accounts.browser.cookies import new_token
from app.accounts.browser.errors import WrongPassword
from app.accounts.browser.sessions import (
    Client,
    delete_session,
    delete_session_of_token,
    delete_sessions,
    insert_session,
)
from app.accounts.passwords import (
    check_password,
    hash_password,
    needs_rehash,
    verify_password,
)
from app.accounts.tables import User
from app.accounts.user_repository import user_named
from app.audit.record import Actor, record_change
from app.core.database import Database
from app.core.errors import FieldError, Invalid, Unauthenticated


@dataclass(frozen=True)
class NewSession:
    """A session that has just started.

    Attributes:
        id: of the session.
        user_id: of its user.
        token: for the browser; only its hash is stored.
    """

    id: str
    user_id: str
    token: str


@dataclass(frozen=True)
class SignIn:
    """An attempt to sign in.

    Attributes:
        name: of the user.
        password: as it was typed.
        client: that sent it.
        replaced: the token of the session that the browser has already; it ends.
    """

    name: str
    password: str
    client: Client
    replaced: str | None = None


def sign_in(
    database: Database, attempts: Attempts, attempt: SignIn, *, lifetime: timedelta
) -> NewSession:
    """Start a session for a user with the right password.

    Raises:
        Unauthenticated: there is no such user, the password is wrong, the user is disabled, or the
            password was changed meanwhile. The response and the work are the same.
        RateLimited: there were too many attempts.
        PasswordsBusy: too many passwords are being checked.
    """
    attempts.sign_in(attempt.client.address, attempt.name)
    with database.read() as unit:
        user = _user_called(unit.session, attempt.name)
    stored = user.password_hash if user is not None else None
    is_right = verify_password(attempt.password, stored)
    if user is None or stored is None or not is_right:
        raise _refused()
    renewed = hash_password(attempt.password) if needs_rehash(stored) else None
    with database.write() as unit:
        _lock_unchanged(unit.session, user.id, stored)
        if renewed is not None:
            _set_hash(unit.session, user.id, renewed)
        started = start_session(unit.session, user, attempt.client, lifetime=lifetime)
        if attempt.replaced is not None:
            end_replaced(unit.session, attempt.replaced, attempt.client)
    attempts.signed_in(attempt.client.address, attempt.name)
    return started


def start_session(
    session: Session, user: User, client: Client, *, lifetime: timedelta
) -> NewSession:
    """Insert a session with a new token, and record it."""
    token = new_token()
    session_id = insert_session(session, user.id, token, client, lifetime=lifetime)
    actor = _actor(user.id, user.name, session_id, client)
    record_change(session, actor, "session.started", target=session_id)
    return NewSession(session_id, user.id, token)


def end_replaced(session: Session, token: str, client: Client) -> None:
    """End the session that a browser had when it signed in again, also that of another user."""
    ended = delete_session_of_token(session, token)
    if ended is None:
        return
    session_id, user_id = ended
    name = session.scalar(select(User.name).where(User.id == user_id))
    actor = _actor(user_id, name, session_id, client)
    record_change(session, actor, "session.ended", target=session_id)


def end_session(database: Database, actor: Actor, user_id: str, session_id: str) -> bool:
    """End a session of a user; return whether there was one. It is refused from now on."""
    with database.write() as unit:
        ended = delete_session(unit.session, user_id, session_id)
        if ended:
            record_change(unit.session, actor, "session.ended", target=session_id)
    return ended


@dataclass(frozen=True)
class PasswordChange:
    """A user's own change of the password.

    Attributes:
        user_id: of the user.
        current: the password until now, as it was typed; None: none was sent.
        new: the new password.
    """

    user_id: str
    current: str | None
    new: str


def change_password(
    database: Database, attempts: Attempts, actor: Actor, change: PasswordChange
) -> None:
    """Change a user's own password, and end the user's other sessions.

    Raises:
        Invalid: the user has a password, and none was sent.
        WrongPassword: the current password is another one, or the user has none yet.
        WeakPassword: the new password is too weak.
        RateLimited, PasswordsBusy: as `sign_in`.
    """
    name = actor.user_name or ""
    check_password(change.new, user_name=name)
    attempts.sign_in(actor.address, name)
    with database.read() as unit:
        stored = unit.session.scalar(select(User.password_hash).where(User.id == change.user_id))
    if change.current is None and stored is not None:
        message = "Send your current password with the new one."
        raise Invalid(message, errors=[FieldError("/current_password", "missing", message)])
    if change.current is not None and not verify_password(change.current, stored):
        raise WrongPassword
    new_hash = hash_password(change.new)
    with database.write() as unit:
        _lock_unchanged(unit.session, change.user_id, stored)
        _replace_hash(unit.session, actor, change.user_id, name, new_hash)
    attempts.signed_in(actor.address, name)


def set_password(
    database: Database, actor: Actor, reference: str, text: str, *, attempts: Attempts | None = None
) -> None:
    """Set the password of a user without the current one, and end the user's sessions.

    Args:
        database: to write to.
        actor: an administrator, whose own session is kept, or the command of an operator.
        reference: id or name of the user.
        text: the new password.
        attempts: counts it like a sign-in; None: it is not counted.

    Raises:
        UserNotFound: there is no user with this id or name.
        WeakPassword: the password is too weak.
        RateLimited, PasswordsBusy: as `sign_in`.
    """
    with database.read() as unit:
        user = user_named(unit.session, reference)
    check_password(text, user_name=user.name)
    if attempts is not None:
        attempts.sign_in(actor.address, user.name)
    new_hash = hash_password(text)
    with database.write() as unit:
        _replace_hash(unit.session, actor, user.id, user.name, new_hash)


def _user_called(session: Session, name: str) -> User | None:
    """Return the user with this name, if there is one."""
    return session.scalars(select(User).where(User.name == name)).one_or_none()


def _lock_unchanged(session: Session, user_id: str, stored: str | None) -> None:
    """Lock the user's row, so that a change of the password ends the session that starts now.

    Raises:
        Unauthenticated: since it was checked, the password was changed or the user disabled.
    """
    unchanged = select(User.id).where(
        User.id == user_id, User.password_hash == stored, User.disabled_at.is_(None)
    )
    if session.scalar(unchanged.with_for_update()) is None:
        raise _refused()


def _set_hash(session: Session, user_id: str, password_hash: str) -> None:
    session.execute(update(User).where(User.id == user_id).values(password_hash=password_hash))


def _replace_hash(
    session: Session, actor: Actor, user_id: str, name: str, password_hash: str
) -> None:
    """Store a new password, end the sessions of the user but that of the actor, and record it."""
    _set_hash(session, user_id, password_hash)
    ended = delete_sessions(session, user_id, but=actor.credential)
    record_change(
        session,
        actor,
        "password.changed",
        target=user_id,
        details={"name": name, "sessions_ended": ended},
    )


def _refused() -> Unauthenticated:
    return Unauthenticated("The name or the password is wrong.")


def _actor(user_id: str, name: str | None, session_id: str, client: Client) -> Actor:
    return Actor(user_id, name, session_id, client.address, client.request_id)
