"""Garbage: stored objects that no row names, found, condemned, set aside and erased.

    stored, named ──► stored, unnamed ──► condemned ──grace──► aside ──hold──► erased
                            ▲                                   │
                            └──── named again: put back ◄───────┘

Whoever stores bytes names them in a row afterwards, and may find equal bytes stored already. So an
object leaves its place only unnamed, and for the length of the hold it is still there for readers:
who had just found it has named it by then, and it is put back. Every step can be cut anywhere, and
be done by several at once. Nothing else in the code base removes bytes.
"""

import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select, union, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.artifacts.repository import condemn
from app.artifacts.tables import Artifact, CondemnedObject
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import Database, database_now
from app.core.storage import ArtifactStore, AsideObject
from app.datasets.tables import DatasetVersion
from app.jobs.tables import Job
from app.models.tables import Model
from app.uploads.tables import Upload

REFERENCES: Final[tuple[InstrumentedAttribute[str] | InstrumentedAttribute[str | None], ...]] = (
    Artifact.sha256,
    DatasetVersion.archive_sha256,
    DatasetVersion.pack_sha256,
    Job.model_sha256,
    Model.sha256,
    Upload.sha256,
)
"""Every column that names bytes in the store; each has an index."""

HOLD: Final = timedelta(minutes=30)
"""Aside for so long: far longer than anyone takes from storing bytes to the row that names them."""
AT_ONCE: Final = 100
RETRY: Final = timedelta(minutes=10)


def named(session: Session, digests: Collection[str]) -> set[str]:
    """Return those of `digests` that some row names."""
    asked = [select(column).where(column.in_(digests)) for column in REFERENCES]
    return {digest for digest in session.scalars(union(*asked)) if digest is not None}


def orphans(database: Database, digests: Collection[str]) -> list[str]:
    """Return those of `digests` that no row names and that are not condemned yet."""
    with database.read() as unit:
        unnamed = set(digests) - named(unit.session, digests)
        known = select(CondemnedObject.sha256).where(CondemnedObject.sha256.in_(unnamed))
        return sorted(unnamed - set(unit.session.scalars(known)))


def condemn_orphans(database: Database, digests: Collection[str], *, grace: timedelta) -> int:
    """Condemn those of `digests` that no row names; return how many are new."""
    found = orphans(database, digests)
    if found:
        with database.write() as unit:
            condemn(unit.session, found, grace=grace)
    return len(found)


def due_objects(session: Session, *, limit: int) -> Sequence[CondemnedObject]:
    """Return condemned objects whose time has come, the longest due first."""
    statement = select(CondemnedObject).where(CondemnedObject.due_at <= database_now())
    return session.scalars(statement.order_by(CondemnedObject.due_at).limit(limit)).all()


def set_due_objects_aside(
    database: Database, store: ArtifactStore, *, hold: timedelta
) -> tuple[int, int]:
    """Set condemned objects aside that are due and still unnamed, so many in one go.

    Returns how many were looked at, and how many of them are aside now.

    Raises:
        Unavailable: the store is out of reach; what it kept is tried again later.
        InsufficientStorage: it has no room even to set something aside; the same.
    """
    with database.read() as unit:
        began, now = time.monotonic(), _now(unit.session)
        due = due_objects(unit.session, limit=AT_ONCE)
        kept = named(unit.session, [each.sha256 for each in due])
    done = [each for each in due if each.sha256 in kept]
    moved = 0
    try:
        for each in [each for each in due if each.sha256 not in kept]:
            until = now + timedelta(seconds=time.monotonic() - began) + hold
            if store.set_aside(each.sha256, due_at=until, within=hold / 2):
                crash_point(CrashPoint.OBJECT_SET_ASIDE)
                moved += 1
                done.append(each)
    finally:
        _forget(database, done)
        _postpone(database, [each for each in due if each not in done])
    return len(due), moved


def conclude_aside(
    database: Database, store: ArtifactStore, page: Sequence[AsideObject]
) -> tuple[int, int]:
    """Put back what is named again, erase what is due and is not; return both counts.

    Raises:
        Unavailable: the store is out of reach; nothing is lost.
    """
    with database.read() as unit:
        now = _now(unit.session)
        kept = named(unit.session, [each.sha256 for each in page])
    restored, erased = 0, 0
    for each in page:
        if each.sha256 in kept:
            # Its copy stays till then: whoever set it aside may be about to take the object away.
            if store.restore(each.sha256) and each.due_at <= now:
                store.erase(each)
                restored += 1
        elif each.due_at <= now:
            store.erase(each)
            crash_point(CrashPoint.ASIDE_ERASED)
            erased += 1
    return restored, erased


def due_aside(session: Session, page: Sequence[AsideObject]) -> int:
    """Return how many of a page are due and unnamed."""
    now, kept = _now(session), named(session, [each.sha256 for each in page])
    return sum(each.due_at <= now and each.sha256 not in kept for each in page)


def _now(session: Session) -> datetime:
    return session.scalars(select(database_now())).one()


def _forget(database: Database, condemned: Sequence[CondemnedObject]) -> None:
    """Drop the marks as they were read: one that was set anew meanwhile has another time."""
    if not condemned:
        return
    with database.write() as unit:
        for each in sorted(condemned, key=lambda one: one.sha256):
            unit.session.execute(
                delete(CondemnedObject).where(
                    CondemnedObject.sha256 == each.sha256, CondemnedObject.due_at == each.due_at
                )
            )


def _postpone(database: Database, condemned: Sequence[CondemnedObject]) -> None:
    """Let those behind them have their turn, if the store refuses these alone."""
    if not condemned:
        return
    digests = [each.sha256 for each in condemned]
    with database.write() as unit:
        unit.session.execute(
            update(CondemnedObject)
            .where(CondemnedObject.sha256.in_(digests))
            .values(due_at=database_now(RETRY))
        )
