"""Queries and writes of uploads. A caller sees only their own, in their current projects."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Result, Select, case, delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.accounts.tables import User
from app.core.database import database_now
from app.core.ids import new_id
from app.uploads.errors import UploadExpired, UploadNotFound
from app.uploads.tables import Upload

REFERENCE: Final = re.compile(r"upl_[0-9A-Z]{26}\Z")
"""Other text is never sent to the database: PostgreSQL, for example, refuses text with a NUL."""


@dataclass(frozen=True)
class NewUpload:
    """What the creation of an upload sets."""

    project_id: str
    owner_id: str
    filename: str
    size_bytes: int
    sent_metadata: str | None


@dataclass(frozen=True)
class UnfinishedUploads:
    """Bytes that unfinished uploads still need: in one spool folder, and in the store."""

    unreceived_bytes: int
    unstored_bytes: int


def insert_upload(session: Session, new: NewUpload, *, spool_id: str, keep: timedelta) -> Upload:
    """Insert an upload without bytes; it expires after `keep`."""
    statement = (
        insert(Upload)
        .values(
            id=new_id("upl"),
            project_id=new.project_id,
            owner_id=new.owner_id,
            filename=new.filename,
            size_bytes=new.size_bytes,
            offset_bytes=0,
            spool_id=spool_id,
            sent_metadata=new.sent_metadata,
            created_at=database_now(),
            expires_at=database_now(keep),
        )
        .returning(Upload)
    )
    return session.scalars(statement).one()


def visible_upload(
    session: Session, owner_id: str, project_ids: Collection[str], upload_id: str
) -> Upload:
    """Return an upload of the caller.

    Raises:
        UploadNotFound: the caller has no upload with this id.
        UploadExpired: it has expired and is not removed yet.
    """
    if REFERENCE.match(upload_id) is None:
        raise UploadNotFound
    return _of_the_caller(session.execute(_named(owner_id, project_ids, upload_id)))


def lock_upload(
    session: Session, owner_id: str, project_ids: Collection[str], upload_id: str
) -> Upload:
    """Return an upload of the caller with its row locked; raises like `visible_upload`."""
    if REFERENCE.match(upload_id) is None:
        raise UploadNotFound
    statement = _named(owner_id, project_ids, upload_id).with_for_update()
    return _of_the_caller(session.execute(statement))


def _named(owner_id: str, project_ids: Collection[str], upload_id: str) -> Select[Upload, bool]:
    return select(Upload, Upload.expires_at <= database_now()).where(
        Upload.id == upload_id,
        Upload.owner_id == owner_id,
        Upload.project_id.in_(project_ids),
    )


def _of_the_caller(found: Result[Upload, bool]) -> Upload:
    row = found.one_or_none()
    if row is None:
        raise UploadNotFound
    upload, is_expired = row
    if is_expired:
        raise UploadExpired
    return upload


def upload_page(
    session: Session,
    owner_id: str,
    project_ids: Collection[str],
    *,
    after: str | None,
    limit: int,
) -> Sequence[Upload]:
    """Return up to `limit` of the caller's uploads older than the id `after`, newest first."""
    statement = select(Upload).where(
        Upload.owner_id == owner_id,
        Upload.project_id.in_(project_ids),
        Upload.expires_at > database_now(),
    )
    if after is not None:
        statement = statement.where(Upload.id < after)
    return session.scalars(statement.order_by(Upload.id.desc()).limit(limit)).all()


def advance_upload(
    session: Session, upload_id: str, *, start: int, end: int, keep: timedelta
) -> bool:
    """Record the bytes from `start` to `end`, which are on the disk; the upload expires later.

    Returns whether they were recorded: False if the upload was removed or has another offset.
    """
    statement = (
        update(Upload)
        .where(Upload.id == upload_id, Upload.offset_bytes == start, Upload.sha256.is_(None))
        .values(offset_bytes=end, expires_at=database_now(keep))
        .returning(Upload.id)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(statement).first() is not None


def finish_upload(session: Session, upload_id: str, sha256: str) -> bool:
    """Record the stored bytes of a whole upload. Return False if the upload was removed."""
    statement = (
        update(Upload)
        .where(Upload.id == upload_id, Upload.offset_bytes == Upload.size_bytes)
        .values(sha256=sha256)
        .returning(Upload.id)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(statement).first() is not None


def delete_upload(session: Session, upload: Upload) -> None:
    """Delete the row of a visible upload."""
    session.execute(delete(Upload).where(Upload.id == upload.id))


def lock_owner(session: Session, owner_id: str) -> None:
    """Lock the row of a user, so that two requests do not count their uploads at once."""
    session.execute(select(User.id).where(User.id == owner_id).with_for_update())


def count_unfinished(session: Session, owner_id: str) -> int:
    """Return how many uploads of a user are unfinished and have not expired."""
    statement = select(func.count()).where(
        Upload.owner_id == owner_id, Upload.sha256.is_(None), Upload.expires_at > database_now()
    )
    return session.scalar(statement) or 0


def unfinished_bytes(session: Session, spool_id: str) -> UnfinishedUploads:
    """Return what unfinished uploads of all users need, in the spool `spool_id` and in the store.

    Reads one row for each unfinished upload; a bound per user limits their number.
    """
    missing = Upload.size_bytes - Upload.offset_bytes
    here = func.sum(case((Upload.spool_id == spool_id, missing), else_=0))
    statement = select(here, func.sum(Upload.size_bytes)).where(
        Upload.sha256.is_(None), Upload.expires_at > database_now()
    )
    unreceived, unstored = session.execute(statement).one()
    return UnfinishedUploads(int(unreceived or 0), int(unstored or 0))
