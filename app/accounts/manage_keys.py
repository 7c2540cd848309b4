"""Create, rotate and revoke API keys.

A new key has no scope, no project and no time that the credential of its creator lacks.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.accounts.errors import InsufficientScope, KeyEnded, KeyReplaced, NotYourKey
from app.accounts.issue_key import IssuedKey, issue
from app.accounts.key_repository import (
    KeyFilter,
    expire_in,
    is_ended,
    lock_key_with_text,
    lock_visible_key,
    revoke,
    successor_of,
)
from app.accounts.keys import parse_key
from app.accounts.repository import NewKey
from app.accounts.requests import KeyRequest
from app.accounts.tables import ApiKey, MemberRole
from app.audit.record import Actor, record_change
from app.core.database import Database


def keys_seen_by(principal: Principal) -> KeyFilter:
    """Return which keys a caller sees."""
    admin_of = (each.id for each in principal.projects if each.role is MemberRole.ADMIN)
    return KeyFilter(
        principal.user_id,
        principal.bound_project_id,
        frozenset(admin_of),
        sees_all=principal.is_administrator,
    )


def create_key(database: Database, principal: Principal, request: KeyRequest) -> IssuedKey:
    """Create a key for the caller.

    Raises:
        InsufficientScope: the caller's credential lacks one of the scopes.
        UnknownProject: the caller's credential cannot be used for the project.
    """
    _require_scopes(principal, request.scopes)
    project_id = principal.bound_project_id
    if request.project is not None:
        project_id = principal.project_id(request.project)
    seconds = request.expires_in_seconds
    new = NewKey(
        request.label,
        [scope.value for scope in request.scopes],
        project_id=project_id,
        lifetime=None if seconds is None else timedelta(seconds=seconds),
        not_after=principal.expires_at,
    )
    with database.write() as unit:
        return issue(unit.session, principal.actor(), principal.user_id, new)


def rotate_key(
    database: Database, principal: Principal, reference: str, *, overlap: timedelta
) -> IssuedKey:
    """Replace a key of the caller by a new one; the old one ends after `overlap`.

    The new key lives as long as the old one was to live when it was created. If another key that
    expires rotates it, it does not outlive that one.

    Raises:
        KeyNotFound: the caller sees no such key.
        NotYourKey: it belongs to another user, whose rights the caller would get.
        InsufficientScope: it has a scope that the caller's credential lacks.
        KeyEnded: it is revoked or has expired.
        KeyReplaced: another key replaces it already.
    """
    with database.write() as unit:
        old = lock_visible_key(unit.session, keys_seen_by(principal), reference).row
        if old.user_id != principal.user_id:
            raise NotYourKey
        _require_scopes(principal, old.scopes)
        is_own_credential = old.public_id == principal.credential
        not_after = None if is_own_credential else principal.expires_at
        return replace_key(
            unit.session, principal.actor(), old, overlap=overlap, not_after=not_after
        )


def replace_key(
    session: Session,
    actor: Actor,
    old: ApiKey,
    *,
    overlap: timedelta,
    not_after: datetime | None = None,
) -> IssuedKey:
    """Issue a key with the rights of a locked one, which ends after `overlap`.

    Raises:
        KeyEnded: the old key is revoked or has expired.
        KeyReplaced: another key replaces it already.
    """
    if is_ended(session, old.id):
        raise KeyEnded
    successor = successor_of(session, old.id)
    if successor is not None:
        raise KeyReplaced(successor)
    new = NewKey(
        old.label,
        old.scopes,
        project_id=old.project_id,
        lifetime=None if old.expires_at is None else old.expires_at - old.created_at,
        not_after=not_after,
        replaces_id=old.id,
    )
    expire_in(session, old.id, overlap)
    issued = issue(session, actor, old.user_id, new)
    record_change(
        session,
        actor,
        "key.rotated",
        target=old.public_id,
        project_id=old.project_id,
        details={
            "successor": issued.listed.row.public_id,
            "overlap_seconds": int(overlap.total_seconds()),
        },
    )
    return issued


def revoke_key(database: Database, seen: KeyFilter, actor: Actor, reference: str) -> None:
    """End a key now. A key that is revoked already stays so.

    Raises:
        KeyNotFound: the caller sees no such key.
    """
    with database.write() as unit:
        _revoke(unit.session, actor, lock_visible_key(unit.session, seen, reference).row)


def revoke_reported_key(database: Database, actor: Actor, text: str) -> None:
    """End the key with this text, of any user; other text changes nothing."""
    key = parse_key(text)
    if key is None:
        return
    with database.write() as unit:
        row = lock_key_with_text(unit.session, key)
        if row is not None:
            _revoke(unit.session, actor, row)


def _revoke(session: Session, actor: Actor, row: ApiKey) -> None:
    if row.revoked_at is not None:
        return
    revoke(session, row.id)
    record_change(
        session,
        actor,
        "key.revoked",
        target=row.public_id,
        project_id=row.project_id,
        details={"label": row.label},
    )


def _require_scopes(principal: Principal, scopes: Collection[str]) -> None:
    lacking = sorted(set(scopes) - principal.scopes)
    if lacking:
        raise InsufficientScope(lacking[0])
