"""Create API keys: the first key at the first start, others on the operator's command."""

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
    """Create the first user, project and key if there is no user yet.

    If several servers start at once, only one of them does this. The key's text is written to
    `home/api-key` (mode 0600) before its hash is committed. A start that is killed in between
    leaves a file that the next start replaces, never a key whose text is lost.
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
    """Create another key for the first user and return its text, which cannot be shown again.

    Raises:
        LookupError: no server was started on this instance yet, so it has no user.
    """
    with database.write() as unit:
        user = first_user(unit.session)
        if user is None:
            raise LookupError("start the server once before you create keys")
        key = new_key(KeyKind.USER)
        insert_key(unit.session, user.id, key, label=label, scopes=ALL_SCOPES)
    return str(key)
