"""Making API keys: the first one at first start, further ones by the operator."""

from pathlib import Path

from app.accounts.keys import ALL_SCOPES, new_key
from app.accounts.repository import (
    first_user,
    insert_key,
    insert_user_with_project,
    lock_accounts,
)
from app.accounts.tables import KeyKind
from app.core.database import Database
from app.core.secrets import write_private

FIRST_USER = "owner"
DEFAULT_PROJECT = "default"
KEY_FILE = "api-key"


def ensure_first_key(database: Database, home: Path) -> None:
    """Make the first user, project and key where there is no user yet; one of several servers does.

    The key's text goes to `home/api-key` (mode 0600) before its hash is committed: a start that is
    cut off in between leaves a file that the next start replaces, never a key that nobody knows.
    """
    with database.write() as unit:
        lock_accounts(unit.session)
        if first_user(unit.session) is not None:
            return
        user_id = insert_user_with_project(unit.session, user=FIRST_USER, project=DEFAULT_PROJECT)
        key = new_key(KeyKind.USER)
        insert_key(unit.session, user_id, key, label="first key", scopes=ALL_SCOPES)
        write_private(home / KEY_FILE, f"{key}\n")


def issue_key(database: Database, *, label: str) -> str:
    """Make another key for the first user; return its text, which is shown this once.

    Raises:
        LookupError: the instance was never started, so it has no user.
    """
    with database.write() as unit:
        user = first_user(unit.session)
        if user is None:
            raise LookupError("start the server once before making keys")
        key = new_key(KeyKind.USER)
        insert_key(unit.session, user.id, key, label=label, scopes=ALL_SCOPES)
    return str(key)
