"""Append the body of one request to an upload; the last one moves the bytes into the store.

Bytes are synced before the offset is written, and the offset in the database is the truth: what a
crash left beyond it in the file is cut off by the next request. A lock on the file and the offset
in the database allow one writer at a time.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from app.accounts.authentication import Principal
from app.accounts.tables import MemberRole
from app.core.context import Context
from app.core.crash_points import CrashPoint, crash_point
from app.core.errors import InsufficientStorage
from app.core.files import is_disk_full
from app.core.storage import StoredObject
from app.uploads.admission import admit
from app.uploads.errors import (
    ChunkTooLarge,
    DamagedChunk,
    OffsetMismatch,
    UploadBusy,
    UploadElsewhere,
    UploadIncomplete,
    UploadNotFound,
)
from app.uploads.headers import Checksum
from app.uploads.repository import advance_upload, finish_upload, visible_upload
from app.uploads.spool import UploadSpool
from app.uploads.tables import Upload

SAVED_EVERY: Final = 64 * 1024 * 1024
"""Bytes after which the offset is written during one request; a crash loses at most these."""


@dataclass(frozen=True)
class NamedUpload:
    """An upload as a caller names it: only their own, in their projects, is found."""

    upload_id: str
    principal: Principal

    @property
    def owner_id(self) -> str:
        """Id of the caller."""
        return self.principal.user_id

    @property
    def project_ids(self) -> Collection[str]:
        """Ids of the caller's projects."""
        return self.principal.project_ids

    def check_writable(self, upload: Upload) -> None:
        """Refuse a caller who only reads in the project of the upload.

        Raises:
            InsufficientRole, ProjectArchived: as `Principal.require_role`.
        """
        self.principal.require_role(upload.project_id, MemberRole.MEMBER)


@dataclass(frozen=True)
class Chunk:
    """What the headers of a request announce about its body; `size_bytes` is None if unknown."""

    offset: int
    size_bytes: int | None
    checksum: Checksum | None


def look_up(context: Context, named: NamedUpload) -> Upload:
    """Return the upload as it is now.

    Raises:
        UploadNotFound: the caller has no upload with this id.
        UploadExpired: it has expired.
    """
    with context.database.read() as unit:
        return visible_upload(unit.session, named.owner_id, named.project_ids, named.upload_id)


class ChunkWriter:
    """Writes the body of one request behind the bytes that an upload has already.

    It holds the lock of the upload until it is closed. All methods block on the disk or the
    database.

    Raises, when it is created:
        UploadNotFound: the caller has no upload with this id.
        UploadExpired: it has expired.
        InsufficientRole, ProjectArchived: the caller may not write in its project.
        UploadBusy: another request is writing.
        OffsetMismatch: the chunk does not begin where the upload ends.
        ChunkTooLarge: the chunk is longer than what is missing.
        UploadElsewhere: the bytes that arrived earlier are not on this server.
    """

    def __init__(self, context: Context, named: NamedUpload, chunk: Chunk) -> None:
        self._context = context
        self._named = named
        self._checksum = chunk.checksum
        self._hash = chunk.checksum.new_hash() if chunk.checksum else None
        self._spool = UploadSpool(context.settings.home)
        self._file = self._lock(chunk)
        try:
            # Another request may have written between the first look and the lock.
            self.upload = look_up(context, named)
            _check(self.upload, chunk)
            self._cut(chunk.offset)
        except BaseException:
            self.close()
            raise
        self._saved = self._end = chunk.offset

    @property
    def _keep(self) -> timedelta:
        return timedelta(hours=self._context.settings.keep_upload_hours)

    def write(self, piece: bytes) -> None:
        """Write the next bytes; save the offset every `SAVED_EVERY` bytes, without a checksum.

        Raises:
            ChunkTooLarge: the body is longer than what is missing.
            InsufficientStorage: the disk is full, or other uploads need its free space.
        """
        if self._end + len(piece) > self.upload.size_bytes:
            raise ChunkTooLarge(self.upload.size_bytes - self._saved, self._saved)
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            if is_disk_full(error):
                raise InsufficientStorage("The disk has no room for this upload.") from error
            raise
        self._end += len(piece)
        if self._hash is not None:
            self._hash.update(piece)
        elif self._end - self._saved >= SAVED_EVERY:
            self._save()
            with self._context.database.read() as unit:
                admit(self._context, unit.session, self.upload.size_bytes)

    def keep(self) -> None:
        """Save what arrived of an interrupted body; nothing of one with a checksum."""
        if self._checksum is None:
            self._save()

    def finish(self) -> Upload:
        """Save the whole body, and store the upload if it is whole; return the upload.

        Raises:
            DamagedChunk: the body does not have its checksum; nothing of it is kept.
            InsufficientStorage: the store is full; the bytes stay in the spool.
            StoreUnavailable: the store cannot be reached; the bytes stay in the spool.
        """
        if self._checksum and self._hash and self._hash.digest() != self._checksum.digest:
            self._cut(self._saved)
            raise DamagedChunk(self._checksum.algorithm, self._saved)
        self._save()
        if self._end == self.upload.size_bytes:
            self._store()
        return look_up(self._context, self._named)

    def close(self) -> None:
        """Release the lock. Bytes that are not saved are cut off by the next request."""
        os.close(self._file)

    def _lock(self, chunk: Chunk) -> int:
        upload = look_up(self._context, self._named)
        self._named.check_writable(upload)
        _check(upload, chunk)
        if upload.spool_id != self._spool.id:
            raise UploadElsewhere
        try:
            return self._spool.lock(upload.id, is_new=upload.offset_bytes == 0)
        except UploadElsewhere:  # lost, or finished since it was looked up
            _check(look_up(self._context, self._named), chunk)
            raise

    def _cut(self, offset: int) -> None:
        """Make the file end at `offset`."""
        if os.fstat(self._file).st_size < offset:
            raise UploadElsewhere
        os.ftruncate(self._file, offset)
        os.lseek(self._file, offset, os.SEEK_SET)

    def _save(self) -> None:
        if self._end == self._saved:
            return
        os.fsync(self._file)
        crash_point(CrashPoint.UPLOAD_SYNCED)
        with self._context.database.write() as unit:
            is_saved = advance_upload(
                unit.session, self.upload.id, start=self._saved, end=self._end, keep=self._keep
            )
        if not is_saved:
            self._give_up()
        crash_point(CrashPoint.UPLOAD_SAVED)
        self._saved = self._end

    def _give_up(self) -> None:
        """Raise the reason for which the offset could not be written."""
        try:
            upload = look_up(self._context, self._named)
        except UploadNotFound:
            self._spool.remove(self.upload.id)
            raise
        raise OffsetMismatch(upload.offset_bytes)

    def _store(self) -> None:
        stored = self._context.store.put_file(self._spool.path(self.upload.id))
        crash_point(CrashPoint.UPLOAD_STORED)
        with self._context.database.write() as unit:
            finish_upload(unit.session, self.upload.id, stored.sha256)
        crash_point(CrashPoint.UPLOAD_FINISHED)
        self._spool.remove(self.upload.id)


def stored_upload(context: Context, named: NamedUpload) -> StoredObject:
    """Return the stored bytes of a finished upload; store them first if a crash prevented that.

    Raises:
        UploadNotFound: the caller has no upload with this id.
        UploadExpired: it has expired.
        UploadIncomplete: bytes are missing, or another request is storing them.
    """
    upload = look_up(context, named)
    if upload.sha256 is None:
        upload = _finish(context, named, upload)
    if upload.sha256 is None:
        raise UploadIncomplete(upload.offset_bytes, upload.size_bytes)
    return StoredObject(upload.sha256, upload.size_bytes)


def _finish(context: Context, named: NamedUpload, upload: Upload) -> Upload:
    if upload.offset_bytes < upload.size_bytes:
        return upload
    try:
        writer = ChunkWriter(context, named, Chunk(upload.size_bytes, 0, None))
    except UploadBusy:
        return upload
    try:
        return writer.finish()
    finally:
        writer.close()


def _check(upload: Upload, chunk: Chunk) -> None:
    if upload.offset_bytes != chunk.offset:
        raise OffsetMismatch(upload.offset_bytes)
    missing = upload.size_bytes - upload.offset_bytes
    if (chunk.size_bytes or 0) > missing or upload.sha256 is not None:
        raise ChunkTooLarge(missing, upload.offset_bytes)
