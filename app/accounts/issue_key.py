"""Create API keys: the first key at the first start, others on the operator's command."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.accounts.key_repository import EVERY_KEY, ListedKey, visible_key
from app.accounts.keys import ALL_SCOPES, new_key
from app.accounts.project_repository import project_named, role_of
from app.accounts.repository import (
    NewKey,
    first_administrator,
    first_user,
    insert_key,
    insert_user_with_project,
    lock_accounts,
)
from app.accounts.tables import KeyKind, User
from app.accounts.user_repository import user_named
from app.audit.record import COMMAND, Actor, record_change
from app.core.database import Database
from app.core.secrets import write_private
from app.core.text_fields import check_name

FIRST_USER = "owner"
DEFAULT_PROJECT = "default"
KEY_FILE = "api-key"


class IssuedKey(NamedTuple):
    """A new key: its row, and its text, which is shown only once."""

    listed: ListedKey
    text: str


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
        insert_key(unit.session, user_id, key, NewKey("first key", ALL_SCOPES))
        write_private(home / KEY_FILE, f"{key}\n")


def issue(session: Session, actor: Actor, user_id: str, new: NewKey) -> IssuedKey:
    """Insert a key for a user and record it. The caller has checked its rights."""
    key = new_key(KeyKind.USER)
    key_id = insert_key(session, user_id, key, new)
    listed = visible_key(session, EVERY_KEY, key_id)
    record_change(
        session,
        actor,
        "key.created",
        target=key.public_id,
        project_id=new.project_id,
        details={
            "label": new.label,
            "owner": listed.owner,
            "scopes": " ".join(new.scopes),
            "never_expires": listed.row.expires_at is None,
        },
    )
    return IssuedKey(listed, str(key))


def issue_key(
    database: Database,
    *,
    label: str,
    scopes: Sequence[str] = ALL_SCOPES,
    user: str | None = None,
    project: str | None = None,
    lifetime: timedelta | None = None,
) -> str:
    """Create a key by a command on the server's machine; return its text.

    Args:
        database: to write to.
        label: the purpose of the key.
        scopes: what it may be used for.
        user: name or id of its user. Default: the first administrator.
        project: name or id of the only project that it may be used for.
        lifetime: how long it is valid. Default: for ever.

    Raises:
        LookupError: no server was started on this instance yet, so it has no user, or the user is
            no member of the project.
        UserNotFound, ProjectNotFound: there is no user or project with this name.
        Invalid: the label is blank, too long, or has characters that people cannot see.
    """
    check_name(label, pointer="label")
    with database.write() as unit:
        owner = owner_named(unit.session, user)
        project_id = None
        if project is not None:
            project_id = project_named(unit.session, None, project).id
            if role_of(unit.session, project_id, owner.id) is None:
                message = f"{owner.name} is no member of the project {project}"
                raise LookupError(message)
        new = NewKey(label, scopes, project_id=project_id, lifetime=lifetime)
        return issue(unit.session, COMMAND, owner.id, new).text


def owner_named(session: Session, reference: str | None) -> User:
    """Return the user with this name or id; without one, the first administrator.

    Raises:
        LookupError: no server was started on this instance yet.
        UserNotFound: there is no such user.
    """
    if reference is not None:
        return user_named(session, reference)
    user = first_administrator(session)
    if user is None:
        raise LookupError("start the server once first, which makes a user")
    return user
