"""Idempotency keys, and the repetition of use cases that lost a race to a concurrent request.

A retried request with the same key gets the job of the first request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.core.context import Context
from app.core.database import database_now
from app.jobs.errors import ConcurrentRequests, IdempotencyKeyReuse
from app.jobs.listed import ListedJob, listed_job_of
from app.jobs.tables import IdempotencyKey

RACES: Final = 3
P = ParamSpec("P")
Made = TypeVar("Made")


class LostRace(Exception):
    """A concurrent request was faster. The transaction is rolled back and the use case repeated."""


@dataclass(frozen=True)
class KeyUse:
    """The idempotency key of a request, or None, and the digest of its body."""

    key: str | None
    digest: str


def again_after_lost_race(use_case: Callable[P, Made]) -> Callable[P, Made]:
    """Repeat a use case after a `LostRace`, up to `RACES` runs in total.

    Raises:
        ConcurrentRequests: every run lost its race.
    """

    @wraps(use_case)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> Made:
        for _ in range(RACES):
            try:
                return use_case(*args, **kwargs)
            except LostRace:
                continue
        raise ConcurrentRequests

    return repeated


def earlier_job(context: Context, principal: Principal, use: KeyUse) -> ListedJob | None:
    """Return the job that an earlier request with this key created, if any.

    Raises:
        IdempotencyKeyReuse: the earlier request had another body.
    """
    if use.key is None:
        return None
    with context.database.read() as unit:
        known = unit.session.get(IdempotencyKey, (principal.user_id, use.key))
        if known is None:
            return None
        if known.request_sha256 != use.digest:
            raise IdempotencyKeyReuse
        return listed_job_of(unit.session, principal.project_ids, known.job_id)


def insert_idempotency_key(session: Session, owner_id: str, use: KeyUse, *, job_id: str) -> None:
    """Record the job of a request with a key, in the transaction that creates the job.

    Raises:
        LostRace: another request with the key committed first.
    """
    if use.key is None:
        return
    statement = insert(IdempotencyKey).values(
        owner_id=owner_id,
        key=use.key,
        request_sha256=use.digest,
        job_id=job_id,
        created_at=database_now(),
    )
    try:
        session.execute(statement)
    except IntegrityError:
        raise LostRace(use.key) from None
