"""One-time links that sign in the first administrator while no administrator has a password.

`trainyard up` prints one, so that a new user sees the pages without choosing a password first.
A user who can read the terminal can read the first API key as well. A link works from the server's
own machine only.
"""

from datetime import timedelta
from typing import Final

from app.accounts.browser.errors import SignInLinkClosed
from app.accounts.browser.links import (
    has_administrator_password,
    insert_link,
    is_open_link,
    spend_link,
)
from app.accounts.browser.sessions import Client
from app.accounts.browser.sign_in import NewSession, start_session
from app.accounts.repository import first_administrator, lock_accounts
from app.accounts.tables import LinkPurpose
from app.audit.record import Actor, record_change
from app.core.database import Database

LINK_LIFETIME: Final = timedelta(minutes=10)


def new_sign_in_link(database: Database) -> str | None:
    """Make a link and return its token; None if an administrator has a password, or there is none.

    The link is valid for 10 minutes.
    """
    with database.read() as unit:
        session = unit.session
        if has_administrator_password(session) or first_administrator(session) is None:
            return None
    return insert_link(database, LinkPurpose.SIGN_IN, LINK_LIFETIME)


def require_open_sign_in_link(database: Database, token: str) -> None:
    """Check a link without using it.

    Raises:
        SignInLinkClosed: it is unknown, used or too old, or an administrator has a password.
    """
    with database.read() as unit:
        if not is_open_link(unit.session, token, LinkPurpose.SIGN_IN):
            raise SignInLinkClosed


def use_sign_in_link(
    database: Database, token: str, client: Client, *, lifetime: timedelta
) -> tuple[str, NewSession]:
    """Start a session for the first administrator; return their name and the session.

    Of requests at the same time, one wins.

    Raises:
        SignInLinkClosed: the link is unknown, used or too old, or an administrator has a password.
    """
    with database.write() as unit:
        session = unit.session
        lock_accounts(session)
        user = first_administrator(session)
        if user is None or not is_open_link(session, token, LinkPurpose.SIGN_IN):
            raise SignInLinkClosed
        spend_link(session, token)
        started = start_session(session, user, client, lifetime=lifetime)
        actor = Actor(user.id, user.name, started.id, client.address, client.request_id)
        record_change(session, actor, "sign_in_link.used", target=user.name)
        return user.name, started
