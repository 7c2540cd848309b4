"""Garbage collection of stored objects: find, condemn, move aside and erase unnamed ones.

    stored, named ──► stored, unnamed ──► condemned ──grace──► aside ──hold──► erased
                            ▲                                   │
                            └──── named again: put back ◄───────┘

An object is named if a row references its digest. A writer stores the bytes first and commits the
row that references them afterwards; it may also reuse an object that already exists. So only an
unnamed object is moved aside, and readers can still open it during the hold. If a writer commits a
reference meanwhile, the object is moved back. Every step can be killed at any point, and several
processes can run it at once. No other code removes bytes.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, select, true, union, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.artifacts.repository import condemn
from app.artifacts.tables import Artifact, CondemnedObject
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import Database, database_now
from app.core.storage import ArtifactStore, AsideObject
from app.datasets.tables import DatasetVersion, StoredPack
from app.jobs.tables import Job
from app.models.tables import Model
from app.uploads.tables import Upload

REFERENCES: Final[tuple[InstrumentedAttribute[str] | InstrumentedAttribute[str | None], ...]] = (
    Artifact.sha256,
    DatasetVersion.archive_sha256,
    DatasetVersion.findings_sha256,
    DatasetVersion.listing_sha256,
    DatasetVersion.manifest_digest,
    DatasetVersion.pack_sha256,
    DatasetVersion.overview_sha256,
    Job.model_sha256,
    Model.sha256,
    StoredPack.sha256,
    Upload.sha256,
)
"""Every column that references bytes in the store; each has an index."""

KEPT_WHILE: Final[Mapping[InstrumentedAttribute[Any], ColumnElement[bool]]] = {
    DatasetVersion.archive_sha256: DatasetVersion.upload_removed_at.is_(None),
    DatasetVersion.listing_sha256: DatasetVersion.upload_removed_at.is_(None),
}
"""The conditions under which columns reference bytes; all others always do."""

READER_GRACE: Final = timedelta(minutes=30)
"""The default hold: how long an object stays aside and readable before it is erased.

Far longer than a writer takes from storing bytes to committing the row that names them.
"""
AT_ONCE: Final = 100
RETRY: Final = timedelta(minutes=10)


def named(session: Session, digests: Collection[str]) -> set[str]:
    """Return those of `digests` that any row references."""
    selects = [
        select(column).where(column.in_(digests), KEPT_WHILE.get(column, true()))
        for column in REFERENCES
    ]
    return {digest for digest in session.scalars(union(*selects)) if digest is not None}


def orphans(database: Database, digests: Collection[str]) -> list[str]:
    """Return those of `digests` that no row references and that are not condemned yet."""
    with database.read() as unit:
        unnamed = set(digests) - named(unit.session, digests)
        known = select(CondemnedObject.sha256).where(CondemnedObject.sha256.in_(unnamed))
        return sorted(unnamed - set(unit.session.scalars(known)))


def condemn_orphans(database: Database, digests: Collection[str], *, grace: timedelta) -> int:
    """Condemn the `orphans` among `digests`; return how many there were."""
    found = orphans(database, digests)
    if found:
        with database.write() as unit:
            condemn(unit.session, found, grace=grace)
    return len(found)


def due_objects(session: Session, *, limit: int) -> Sequence[CondemnedObject]:
    """Return up to `limit` condemned objects that are due, earliest due time first."""
    statement = select(CondemnedObject).where(CondemnedObject.due_at <= database_now())
    return session.scalars(statement.order_by(CondemnedObject.due_at).limit(limit)).all()


def set_due_objects_aside(
    database: Database, store: ArtifactStore, *, hold: timedelta
) -> tuple[int, int]:
    """Move aside up to `AT_ONCE` condemned objects that are due and still unnamed.

    Returns how many objects were checked, and how many of them were moved aside.

    Raises:
        Unavailable: the store is unreachable; the remaining objects are tried again later.
        InsufficientStorage: the store has no room even to move an object aside; the remaining
            objects are tried again later.
    """
    with database.read() as unit:
        began, now = time.monotonic(), _now(unit.session)
        due = due_objects(unit.session, limit=AT_ONCE)
        kept = named(unit.session, [mark.sha256 for mark in due])
    done = [mark for mark in due if mark.sha256 in kept]
    moved = 0
    try:
        for mark in [mark for mark in due if mark.sha256 not in kept]:
            until = now + timedelta(seconds=time.monotonic() - began) + hold
            if store.set_aside(mark.sha256, due_at=until, within=hold / 2):
                crash_point(CrashPoint.OBJECT_SET_ASIDE)
                moved += 1
                done.append(mark)
    finally:
        _forget(database, done)
        _postpone(database, [mark for mark in due if mark not in done])
    return len(due), moved


def conclude_aside(
    database: Database, store: ArtifactStore, page: Sequence[AsideObject]
) -> tuple[int, int]:
    """Put back objects that are named again, erase unnamed ones that are due, return both counts.

    Raises:
        Unavailable: the store is unreachable; no object is lost.
    """
    with database.read() as unit:
        now = _now(unit.session)
        kept = named(unit.session, [aside.sha256 for aside in page])
    restored, erased = 0, 0
    for aside in page:
        if aside.sha256 in kept:
            # Keep the copy until it is due: the collector that made it may not have deleted the
            # original yet.
            if store.restore(aside.sha256) and aside.due_at <= now:
                store.erase(aside)
                restored += 1
        elif aside.due_at <= now:
            store.erase(aside)
            crash_point(CrashPoint.ASIDE_ERASED)
            erased += 1
    return restored, erased


def due_aside(session: Session, page: Sequence[AsideObject]) -> int:
    """Return how many of a page are due and unnamed."""
    now, kept = _now(session), named(session, [aside.sha256 for aside in page])
    return sum(aside.due_at <= now and aside.sha256 not in kept for aside in page)


def _now(session: Session) -> datetime:
    return session.scalars(select(database_now())).one()


def _forget(database: Database, condemned: Sequence[CondemnedObject]) -> None:
    """Delete exactly the marks that were read. A mark set again since then has a newer time."""
    if not condemned:
        return
    with database.write() as unit:
        for mark in sorted(condemned, key=lambda mark: mark.sha256):
            unit.session.execute(
                delete(CondemnedObject).where(
                    CondemnedObject.sha256 == mark.sha256, CondemnedObject.due_at == mark.due_at
                )
            )


def _postpone(database: Database, condemned: Sequence[CondemnedObject]) -> None:
    """Make these objects due later, so that others have a turn if the store refuses only these."""
    if not condemned:
        return
    digests = [mark.sha256 for mark in condemned]
    with database.write() as unit:
        unit.session.execute(
            update(CondemnedObject)
            .where(CondemnedObject.sha256.in_(digests))
            .values(due_at=database_now(RETRY))
        )
