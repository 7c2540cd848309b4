"""Every change of what a credential may see is announced, so that event streams end at once.

Without an announcement a stream would end only at the next regular look-up of its credential.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from app.accounts.browser.cookies import new_token
from app.accounts.browser.sessions import Client, insert_session
from app.accounts.browser.sign_in import end_replaced, end_session, set_password
from app.accounts.key_repository import KeyFilter
from app.accounts.manage_keys import revoke_key, revoke_reported_key, rotate_key
from app.accounts.manage_projects import change_project, put_member, remove_member
from app.accounts.manage_users import change_user
from app.accounts.requests import ProjectChange, UserChange
from app.accounts.tables import MemberRole
from app.audit.record import COMMAND
from app.core.database import Database
from app.core.wake_ups import ACCESS
from tests.worlds.accounts import Person, a_person
from tests.worlds.rows import Owner, an_owner, principal_of

pytestmark = pytest.mark.mostly_sqlite

ALL_KEYS = KeyFilter("usr_none", None, frozenset(), sees_all=True)
CLIENT = Client("192.0.2.1")


@dataclass(frozen=True)
class Account:
    """A member of a project, with a key and a browser session."""

    database: Database
    owner: Owner
    member: Person
    session_id: str
    token: str


Change = Callable[[Account], object]


def end_session_of_token(account: Account) -> None:
    with account.database.write() as unit:
        end_replaced(unit.session, account.token, CLIENT)


def rotate_own_key(account: Account) -> None:
    key = a_person(account.database, {})
    principal = principal_of(Owner(key.user_id, account.owner.project_id))
    rotate_key(account.database, principal, key.key_id, overlap=timedelta(0))


def user_becomes(**changes: bool | str) -> Change:
    change = UserChange.model_validate(changes)
    return lambda its: change_user(its.database, COMMAND, its.member.user_id, change)


def member_of(account: Account) -> tuple[str, str]:
    return account.owner.project_id, account.member.user_id


CHANGES: dict[str, Change] = {
    "a key is revoked": lambda its: revoke_key(its.database, ALL_KEYS, COMMAND, its.member.key_id),
    "a key is reported": lambda its: revoke_reported_key(its.database, COMMAND, its.member.key),
    "a key is rotated": rotate_own_key,
    "a user is disabled": user_becomes(disabled=True),
    "a user is promoted": user_becomes(administrator=True),
    "a user is renamed": user_becomes(name="other"),
    "a member gets another role": lambda its: put_member(
        its.database, None, member_of(its), MemberRole.ADMIN
    ),
    "a member is removed": lambda its: remove_member(its.database, None, member_of(its)),
    "a project is archived": lambda its: change_project(
        its.database, COMMAND, its.owner.project_id, ProjectChange(archived=True)
    ),
    "a session is ended": lambda its: end_session(
        its.database, COMMAND, its.member.user_id, its.session_id
    ),
    "a session is replaced": end_session_of_token,
    "a password is set": lambda its: set_password(
        its.database, COMMAND, its.member.name, "quite another 7"
    ),
}


@pytest.fixture
def account(database: Database) -> Account:
    owner = an_owner(database)
    member = a_person(database, {owner.project_id: MemberRole.VIEWER})
    token = new_token()
    with database.write() as unit:
        session_id = insert_session(
            unit.session, member.user_id, token, CLIENT, lifetime=timedelta(days=1)
        )
    return Account(database, owner, member, session_id, token)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_access_is_announced(account: Account, change: Change) -> None:
    published: list[str] = []
    account.database.announce_to(published.append)

    change(account)

    assert ACCESS in published
