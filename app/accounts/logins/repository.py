"""Queries and writes of logins of programs."""

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, insert, select
from sqlalchemy.orm import Session

from app.accounts.browser.cookies import digest_of
from app.accounts.logins.codes import new_user_code
from app.accounts.logins.requests import LoginRequest
from app.accounts.tables import Login, LoginState
from app.core.database import database_now
from app.core.ids import new_id


def insert_login(
    session: Session,
    device_code: str,
    request: LoginRequest,
    address: str | None,
    *,
    lifetime: timedelta,
) -> str:
    """Insert a login and return its short code. Logins that have expired are deleted."""
    session.execute(delete(Login).where(Login.expires_at <= database_now()))
    code = _free_code(session)
    session.execute(
        insert(Login).values(
            id=new_id("lgn"),
            device_sha256=digest_of(device_code),
            code_sha256=digest_of(code),
            host=request.host,
            address=address,
            scopes=[scope.value for scope in request.scopes],
            key_seconds=request.key_expires_in_seconds,
            state=LoginState.WAITING,
            created_at=database_now(),
            expires_at=database_now(lifetime),
        )
    )
    return code


def login_of_device(session: Session, device_code: str, *, locked: bool = False) -> Login | None:
    """Return the login with this secret, unless it has expired."""
    return _open_login(session, Login.device_sha256 == digest_of(device_code), locked=locked)


def login_of_code(session: Session, code: str, *, locked: bool = False) -> Login | None:
    """Return the login with this short code, unless it has expired."""
    return _open_login(session, Login.code_sha256 == digest_of(code), locked=locked)


def decide(login: Login, state: LoginState, user_id: str) -> None:
    """Write what a user decided about a login that waits."""
    login.state, login.user_id = state, user_id


def spend(login: Login) -> None:
    """Write that the key of a login was given, so that it gives none again."""
    login.state = LoginState.USED


def _open_login(session: Session, named: ColumnElement[bool], *, locked: bool) -> Login | None:
    statement = select(Login).where(named, Login.expires_at > database_now())
    if locked:
        statement = statement.with_for_update()
    return session.scalars(statement).one_or_none()


def _free_code(session: Session) -> str:
    """Return a short code that no other login has."""
    while True:
        code = new_user_code()
        if not session.scalar(select(exists().where(Login.code_sha256 == digest_of(code)))):
            return code
