"""Queries and writes of packs: where the bytes of a digest lie, and which versions use a pack.

The bytes of a pack are stored before its rows are inserted, and its rows before a version uses it.
A foreign key keeps a pack that a version uses.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Select, delete, exists, insert, select, update
from sqlalchemy.orm import Session

from app.core.database import database_now, upsert
from app.core.ids import new_id
from app.core.storage import StoredObject
from app.datasets.packs.pack import PackedFile
from app.datasets.tables import DatasetVersion, PackedBytes, StoredPack, VersionPack

DIGESTS_AT_ONCE: Final = 500
"""Values of one IN list; SQLite and PostgreSQL take tens of thousands, in slower statements."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where the bytes with a `sha256` are: in the pack `pack_sha256` from byte `offset`."""

    sha256: str
    pack_id: str
    pack_sha256: str
    offset: int
    size: int


def files_in_project(
    session: Session, project_id: str, digests: Collection[str]
) -> dict[str, StoredFile]:
    """Return where the project's packs hold those of `digests` that they hold.

    At most `DIGESTS_AT_ONCE` digests.
    """
    return _located(session, _FILES.where(StoredPack.project_id == project_id), digests)


def files_of_version(
    session: Session, version_id: str, digests: Collection[str]
) -> dict[str, StoredFile]:
    """Return where the packs of a version hold those of `digests`; at most `DIGESTS_AT_ONCE`."""
    of_version = _FILES.join(VersionPack, VersionPack.pack_id == StoredPack.id)
    return _located(session, of_version.where(VersionPack.version_id == version_id), digests)


_FILES = select(
    PackedBytes.sha256.label("digest"),
    StoredPack.id,
    StoredPack.sha256,
    PackedBytes.offset,
    PackedBytes.size,
).join(StoredPack, StoredPack.id == PackedBytes.pack_id)


def _located(
    session: Session,
    files: Select[str, str, str, int, int],
    digests: Collection[str],
) -> dict[str, StoredFile]:
    # The newest pack first, so that the oldest one decides: all servers then choose the same.
    rows = session.execute(
        files.where(PackedBytes.sha256.in_(digests)).order_by(StoredPack.id.desc())
    )
    return {row[0]: StoredFile(*row) for row in rows}


def insert_pack(session: Session, project_id: str, stored: StoredObject) -> str:
    """Insert the row of a stored pack, or find the one of the project; return its id."""
    row = {
        "id": new_id("pck"),
        "project_id": project_id,
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "created_at": database_now(),
    }
    # A pack that is found counts as new: the collector must not take it before a version uses it.
    statement = upsert(
        session,
        StoredPack,
        row,
        key=("project_id", "sha256"),
        update=lambda new: {"created_at": new.created_at},
    )
    return session.scalars(statement.returning(StoredPack.id)).one()


def insert_packed(session: Session, pack_id: str, files: Iterable[PackedFile]) -> None:
    """Insert where files lie in a pack; rows that exist stay as they are."""
    rows = [
        {
            "pack_id": pack_id,
            "sha256": file.sha256,
            "offset": file.offset,
            "size": file.size,
        }
        for file in files
    ]
    if rows:
        key = ("pack_id", "sha256")
        session.execute(
            upsert(session, PackedBytes, rows, key=key, update=lambda new: {"size": new.size})
        )


def link_packs(session: Session, version_id: str, pack_ids: Collection[str]) -> None:
    """Note the packs that a version uses.

    Raises:
        IntegrityError: one of the packs was removed.
    """
    rows = [{"version_id": version_id, "pack_id": pack_id} for pack_id in sorted(pack_ids)]
    if rows:
        session.execute(insert(VersionPack), rows)


def delete_unused_packs(session: Session, *, after: timedelta, limit: int) -> int:
    """Delete up to `limit` packs without a version that were stored longer than `after` ago.

    Their bytes become garbage. Returns the number of deleted packs.
    """
    unused = _unused_packs(after).order_by(StoredPack.id).limit(limit)
    # A version that begins to use a pack waits for this lock, or has its row already: the delete
    # looks again.
    ids = session.scalars(unused.with_for_update(skip_locked=True)).all()
    statement = delete(StoredPack).where(StoredPack.id.in_(ids), ~_IN_USE)
    return len(session.scalars(statement.returning(StoredPack.id)).all()) if ids else 0


def unused_packs(session: Session, *, after: timedelta) -> Sequence[str]:
    """Return the ids of the packs that `delete_unused_packs` would delete in all."""
    return session.scalars(_unused_packs(after)).all()


def _unused_packs(after: timedelta) -> Select[str]:
    return select(StoredPack.id).where(~_IN_USE, StoredPack.created_at < database_now(-after))


_IN_USE = exists().where(VersionPack.pack_id == StoredPack.id)


def newest_manifest(session: Session, dataset_id: str, *, before: int) -> str | None:
    """Return the digest of the newest stored manifest of a dataset before version `before`."""
    statement = select(DatasetVersion.manifest_digest).where(
        DatasetVersion.dataset_id == dataset_id,
        DatasetVersion.number < before,
        DatasetVersion.manifest_bytes.is_not(None),
    )
    return session.scalars(statement.order_by(DatasetVersion.number.desc()).limit(1)).first()


def record_manifest(session: Session, version_id: str, manifest: StoredObject) -> bool:
    """Record the stored manifest of a version of an earlier release; return whether it was new."""
    statement = (
        update(DatasetVersion)
        .where(DatasetVersion.id == version_id, DatasetVersion.manifest_bytes.is_(None))
        .values(manifest_digest=manifest.sha256, manifest_bytes=manifest.size_bytes)
        .returning(DatasetVersion.id)
    )
    return session.scalars(statement).first() is not None
