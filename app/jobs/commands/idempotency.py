"""Idempotency keys: a request that is sent again gets the job that it made the first time."""

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.core.context import Context
from app.core.database import database_now
from app.jobs.errors import IdempotencyKeyReuse
from app.jobs.repository import ListedJob, listed_job_of
from app.jobs.tables import IdempotencyKey


class IdempotencyRace(Exception):
    """Another request with the same key was committed first; look it up again."""


def earlier_job(
    context: Context, principal: Principal, key: str | None, digest: str
) -> ListedJob | None:
    """Return the job that a request with this key made before.

    Raises:
        IdempotencyKeyReuse: that request asked for something else.
    """
    if key is None:
        return None
    with context.database.read() as unit:
        used = idempotent_job(unit.session, principal.user_id, key)
        if used is None:
            return None
        if used.request_sha256 != digest:
            raise IdempotencyKeyReuse
        return listed_job_of(unit.session, principal.project_ids, used.job_id)


def idempotent_job(session: Session, owner_id: str, key: str) -> IdempotencyKey | None:
    """Return what a key was used for by this owner."""
    return session.get(IdempotencyKey, (owner_id, key))


def insert_idempotency_key(
    session: Session, owner_id: str, key: str, *, request_sha256: str, job_id: str
) -> None:
    """Keep a key together with the job that it made.

    Raises:
        IdempotencyRace: another request with the key was committed first.
    """
    statement = insert(IdempotencyKey).values(
        owner_id=owner_id,
        key=key,
        request_sha256=request_sha256,
        job_id=job_id,
        created_at=database_now(),
    )
    try:
        session.execute(statement)
    except IntegrityError:
        raise IdempotencyRace(key) from None
