"""Log a program in: it begins, a signed-in user confirms, and it takes its key once.

Only hashes of the secret and of the short code are stored, and the key is made when the program
takes it, so that the database never has its text.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.accounts.browser.cookies import new_token
from app.accounts.browser.sessions import Client
from app.accounts.issue_key import IssuedKey, issue
from app.accounts.logins.codes import read_user_code
from app.accounts.logins.errors import (
    AuthorizationPending,
    LoginClosed,
    LoginNotFound,
    LoginRefused,
)
from app.accounts.logins.repository import (
    decide,
    insert_login,
    login_of_code,
    login_of_device,
    spend,
)
from app.accounts.logins.requests import LoginRequest
from app.accounts.repository import NewKey
from app.accounts.tables import Login, LoginState, User
from app.audit.record import Actor, record_change
from app.core.database import Database

LIFETIME: Final = timedelta(minutes=10)
POLL_SECONDS: Final = 5


@dataclass(frozen=True)
class BegunLogin:
    """A login that waits to be confirmed.

    Attributes:
        device_code: the secret by which the program asks for its key.
        user_code: what the user types or compares.
    """

    device_code: str
    user_code: str


def begin_login(database: Database, request: LoginRequest, client: Client) -> BegunLogin:
    """Begin a login, which is valid for 10 minutes."""
    device_code = new_token()
    with database.write() as unit:
        code = insert_login(unit.session, device_code, request, client.address, lifetime=LIFETIME)
    return BegunLogin(device_code, code)


def waiting_login(database: Database, typed: str) -> tuple[Login, str]:
    """Return the login that waits to be confirmed, and its short code in its usual form.

    Raises:
        LoginNotFound: no login with this code waits.
    """
    code = _code_in(typed)
    with database.read() as unit:
        return _waiting(unit.session, code, locked=False), code


def confirm_login(database: Database, principal: Principal, typed: str) -> None:
    """Let the program of a login have a key that acts for the caller.

    Raises:
        LoginNotFound: no login with this code waits.
    """
    _decide(database, principal, typed, LoginState.CONFIRMED)


def refuse_login(database: Database, principal: Principal, typed: str) -> None:
    """Refuse a login, so that its program gets no key.

    Raises:
        LoginNotFound: no login with this code waits.
    """
    _decide(database, principal, typed, LoginState.REFUSED)


def take_key(database: Database, device_code: str, client: Client) -> IssuedKey:
    """Make the key of a confirmed login, once. Of requests at the same time, one gets it.

    Raises:
        AuthorizationPending: it is not confirmed yet.
        LoginRefused: the user refused it.
        LoginClosed: it is unknown, used or too old, or its user has been disabled.
    """
    with database.read() as unit:  # most polls find nothing to do, and take no lock
        _confirmed(unit.session, device_code, locked=False)
    with database.write() as unit:
        session = unit.session
        login = _confirmed(session, device_code, locked=True)
        user = session.get(User, login.user_id)
        if user is None or user.disabled_at is not None:
            raise LoginClosed
        spend(login)
        actor = Actor(user.id, user.name, login.id, client.address, client.request_id)
        lifetime = timedelta(seconds=login.key_seconds)
        new = NewKey(f"login on {login.host}", login.scopes, lifetime=lifetime)
        return issue(session, actor, user.id, new)


def _decide(database: Database, principal: Principal, typed: str, state: LoginState) -> None:
    code = _code_in(typed)
    with database.write() as unit:
        login = _waiting(unit.session, code, locked=True)
        decide(login, state, principal.user_id)
        record_change(
            unit.session,
            principal.actor(),
            f"login.{state}",
            target=login.id,
            details={"host": login.host, "address": login.address},
        )


def _code_in(typed: str) -> str:
    code = read_user_code(typed)
    if code is None:
        raise LoginNotFound
    return code


def _waiting(session: Session, code: str, *, locked: bool) -> Login:
    login = login_of_code(session, code, locked=locked)
    if login is None or login.state is not LoginState.WAITING:
        raise LoginNotFound
    return login


def _confirmed(session: Session, device_code: str, *, locked: bool) -> Login:
    login = login_of_device(session, device_code, locked=locked)
    if login is None or login.state is LoginState.USED:
        raise LoginClosed
    if login.state is LoginState.REFUSED:
        raise LoginRefused
    if login.state is LoginState.WAITING:
        raise AuthorizationPending(POLL_SECONDS)
    return login
