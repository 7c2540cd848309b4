"""The first administrator: by a one-time set-up link, or by a password file."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.browser.errors import SetupClosed
from app.accounts.browser.links import (
    has_administrator_password,
    insert_link,
    is_open_link,
    spend_link,
)
from app.accounts.browser.sessions import Client
from app.accounts.browser.sign_in import NewSession, start_session
from app.accounts.passwords import check_password, hash_password
from app.accounts.repository import first_user, lock_accounts
from app.accounts.tables import LinkPurpose, User
from app.audit.record import COMMAND, Actor, record_change
from app.configuration import BadConfiguration
from app.core.database import Database
from app.core.errors import FieldError, Invalid
from app.settings import Settings

SETUP_PAGE: Final = "/sign-in/set-up"
"""The path of the page of a set-up link, without its token."""
LINK_LIFETIME: Final = timedelta(minutes=30)
MAX_FILE_BYTES: Final = 4096
SETTING: Final = "admin_password_file (TRAINYARD_ADMIN_PASSWORD_FILE)"


@dataclass(frozen=True)
class NewAdministrator:
    """Name and password of the first administrator."""

    name: str
    password: str


def new_setup_link(database: Database) -> str | None:
    """Make a set-up link and return its token, or None if an administrator has a password.

    The link is valid for 30 minutes. Links of other servers stay valid until one is used.
    """
    with database.read() as unit:
        if has_administrator_password(unit.session):
            return None
    return insert_link(database, LinkPurpose.SET_UP, LINK_LIFETIME)


def setup_url(settings: Settings, token: str, *, local_url: str) -> str:
    """Return the set-up link for a browser; `local_url` is the server's own on this machine."""
    is_public = settings.behind_proxy and settings.allowed_hosts
    base = f"https://{settings.allowed_hosts[0]}" if is_public else local_url
    return f"{base}{settings.path_prefix}{SETUP_PAGE}/{token}"


def require_open_link(database: Database, token: str) -> None:
    """Check a set-up link without using it.

    Raises:
        SetupClosed: it is unknown, used or too old, or an administrator has a password.
    """
    with database.read() as unit:
        if not is_open_link(unit.session, token, LinkPurpose.SET_UP):
            raise SetupClosed


def complete_setup(
    database: Database, token: str, new: NewAdministrator, client: Client, *, lifetime: timedelta
) -> NewSession:
    """Give the first user a name and a password, and start a session for them.

    The first user keeps their keys and projects. Of requests at the same time, one wins.

    Raises:
        SetupClosed: the link is unknown, used or too old, or an administrator has a password.
        Invalid: another user has the name.
        WeakPassword, PasswordsBusy: as `check_password` and `hash_password`.
    """
    require_open_link(database, token)
    check_password(new.password, user_name=new.name)
    password_hash = hash_password(new.password)
    with database.write() as unit:
        session = unit.session
        lock_accounts(session)
        user = first_user(session)
        if user is None or not is_open_link(session, token, LinkPurpose.SET_UP):
            raise SetupClosed
        _make_administrator(session, user, new.name, password_hash)
        spend_link(session, token)
        started = start_session(session, user, client, lifetime=lifetime)
        actor = Actor(user.id, user.name, started.id, client.address, client.request_id)
        record_change(session, actor, "setup.completed", target=user.name)
    return started


def set_first_password(database: Database, password: str | None) -> None:
    """Give the first user the password of the password file, if no administrator has one."""
    if password is None:
        return
    with database.read() as unit:
        if has_administrator_password(unit.session):
            return
    password_hash = hash_password(password)
    with database.write() as unit:
        lock_accounts(unit.session)
        user = first_user(unit.session)
        if user is not None and not has_administrator_password(unit.session):
            _make_administrator(unit.session, user, user.name, password_hash)
            details = {"from": "password file"}
            record_change(
                unit.session, COMMAND, "setup.completed", target=user.name, details=details
            )


def first_password(path: Path | None) -> str | None:
    """Return the password in the file that the setting names; a last line break is no part of it.

    Raises:
        BadConfiguration: the file cannot be read, or the password is too weak.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).decode().removesuffix("\n").removesuffix("\r")
        check_password(text, user_name="")
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise BadConfiguration(f"{SETTING}: the file cannot be read: {reason}") from None
    except UnicodeDecodeError:
        raise BadConfiguration(f"{SETTING}: the file is not UTF-8") from None
    except Invalid as error:
        raise BadConfiguration(f"{SETTING}: {error.detail}") from None
    return text


def _make_administrator(session: Session, user: User, name: str, password_hash: str) -> None:
    user.name, user.password_hash = name, password_hash
    user.is_admin, user.disabled_at = True, None
    try:
        session.flush()
    except IntegrityError:
        message = "Another user has this name."
        raise Invalid(message, errors=[FieldError("/name", "taken", message)]) from None
