"""Record a change in the audit log, in the transaction that makes the change."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from app.audit.tables import AuditRecord
from app.core.database import database_now
from app.core.ids import new_id


@dataclass(frozen=True)
class Actor:
    """Who makes a change, and how the request came.

    Attributes:
        user_id: the user; None for a command on the server's machine.
        user_name: its name at that time.
        credential: public id of the key, id of the session, or `command`.
        address: network address of the client, if known.
        request_id: id of the request, which the logs have, too.
    """

    user_id: str | None = None
    user_name: str | None = None
    credential: str = "command"
    address: str | None = None
    request_id: str | None = None


COMMAND = Actor()
"""A command on the server's machine."""

acting: ContextVar[Actor] = ContextVar("acting", default=COMMAND)
"""Who makes the running request, for code that is not told."""


# Built once: building it takes longer than running it.
_INSERT = insert(cast("Table", AuditRecord.__table__)).values(happened_at=database_now())


def record_change(
    session: Session,
    actor: Actor,
    action: str,
    *,
    target: str,
    project_id: str | None = None,
    details: Mapping[str, str | int | bool | None] | None = None,
) -> None:
    """Insert an entry into the audit log.

    Args:
        session: of the transaction that makes the change.
        actor: who makes it.
        action: what happened, as noun.verb in the past: `key.created`.
        target: id or name of what was changed.
        project_id: the project that it belongs to.
        details: further facts, never a secret.
    """
    row = {
        "id": new_id("aud"),
        "action": action,
        "target": target,
        "project_id": project_id,
        "user_id": actor.user_id,
        "user_name": actor.user_name,
        "credential": actor.credential,
        "address": actor.address,
        "request_id": actor.request_id,
        "details": dict(details or {}),
    }
    session.connection().execute(_INSERT, row)
