"""Whether the server takes an upload: its size, the free space of the disks, unfinished uploads.

Every upload is admitted before its bytes arrive. Announced bytes count as used: those of unfinished
uploads in the database, and those of running requests of this process.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from app.core.context import Context
from app.core.free_space import reserve_of
from app.uploads.errors import NoRoom, TooManyUploads, UploadTooLarge
from app.uploads.repository import count_unfinished, lock_owner, unfinished_bytes
from app.uploads.spool import UploadSpool

MAX_UNFINISHED: Final = 100
"""Unfinished uploads that one user may have."""


def admit(context: Context, session: Session, size_bytes: int) -> None:
    """Check that an upload of `size_bytes` fits; its own bytes are already announced.

    The caller has inserted its row in `session` or holds a reservation. An upload of unknown length
    is admitted again each time its reservation grows.

    Raises:
        UploadTooLarge: it is larger than `limits.dataset_archive_bytes`.
        NoRoom: a disk would keep less than its reserve.
    """
    check_size(context, size_bytes)
    limits = context.settings.limits
    for folder, needed in _needed_bytes(context, session).items():
        disk = shutil.disk_usage(folder)
        reserve = reserve_of(disk.total, limits.disk_reserve_bytes)
        if disk.free - needed < reserve:
            raise NoRoom(needed, disk.free, reserve)


def check_size(context: Context, size_bytes: int) -> None:
    """Check the size of an upload, before it is announced.

    Raises:
        UploadTooLarge: it is larger than `limits.dataset_archive_bytes`.
    """
    limit = context.settings.limits.dataset_archive_bytes
    if size_bytes > limit:
        raise UploadTooLarge(size_bytes, limit)


def check_unfinished(session: Session, owner_id: str) -> None:
    """Check that a user may begin another upload; other requests of the user wait until the end.

    Raises:
        TooManyUploads: the user has `MAX_UNFINISHED` unfinished uploads.
    """
    lock_owner(session, owner_id)
    if count_unfinished(session, owner_id) >= MAX_UNFINISHED:
        raise TooManyUploads(MAX_UNFINISHED)


def _needed_bytes(context: Context, session: Session) -> Mapping[Path, int]:
    """Return how many announced bytes are still to be written, by a folder of each local disk.

    All bytes pass through the spool and are then copied to the store, which may be remote.
    """
    spool = UploadSpool(context.settings.home)
    unfinished = unfinished_bytes(session, spool.id)
    reserved = context.reservations
    needed = {spool.folder: unfinished.unreceived_bytes + reserved.unreceived_bytes()}
    store = context.store.local_root
    if store is not None:
        copied = unfinished.unstored_bytes + reserved.announced_bytes()
        is_one_disk = store.stat().st_dev == spool.folder.stat().st_dev
        folder = spool.folder if is_one_disk else store
        needed[folder] = needed.get(folder, 0) + copied
    return needed
