"""Stream an upload into a spool file; an interrupted upload leaves no file behind."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request

from app.core.context import Context
from app.core.errors import InsufficientStorage, TooLarge
from app.core.files import PRIVATE_FILE, is_disk_full, private_folder
from app.core.ids import new_id
from app.core.reservations import Reservation
from app.uploads.admission import admit
from app.uploads.body import announced_bytes, pieces
from app.uploads.errors import EmptyBody

GROWTH_BYTES: Final = 64 * 1024 * 1024
"""A body of unknown length is admitted for these bytes at a time."""


@asynccontextmanager
async def spooled(
    request: Request, context: Context, *, max_bytes: int | None = None
) -> AsyncIterator[Path]:
    """Write the body to a new file in the spool, and delete the file when the block ends.

    Args:
        request: its body is read.
        context: of the server.
        max_bytes: the largest body. Default: that of a dataset's archive.

    Raises:
        EmptyBody: the body is empty.
        TooLarge: the body has more than `max_bytes`.
        UploadTooLarge: the body is larger than allowed.
        NoRoom: a disk would keep less than its reserve.
        IncompleteUpload: the client disconnected early.
        InsufficientStorage: the disk is full.
    """
    path = context.settings.home / "spool" / f"{new_id('upload')}.zip"
    announced = announced_bytes(request) or 0
    if max_bytes is not None and announced > max_bytes:
        raise _too_large(max_bytes)
    with context.reservations.hold(announced) as reservation:
        await run_in_threadpool(_admit, context, reservation)
        try:
            with _full_disk_named():
                await run_in_threadpool(private_folder, path.parent)
                await _write(request, path, context, reservation, max_bytes)
            yield path
        finally:
            path.unlink(missing_ok=True)


async def _write(
    request: Request, path: Path, context: Context, reserved: Reservation, max_bytes: int | None
) -> None:
    """Write in a thread, so that the event loop never waits for the disk."""
    limit = context.settings.limits.dataset_archive_bytes
    file = _create(path)
    try:
        async for piece in pieces(request):
            received = reserved.arrived_bytes + len(piece)
            if max_bytes is not None and received > max_bytes:
                raise _too_large(max_bytes)
            if received > reserved.size_bytes:
                reserved.size_bytes = max(received, min(received + GROWTH_BYTES, limit))
                await run_in_threadpool(_admit, context, reserved)
            await run_in_threadpool(file.write, piece)
            reserved.arrived_bytes = received
    finally:
        await run_in_threadpool(file.close)
    if reserved.arrived_bytes == 0:
        raise EmptyBody
    reserved.size_bytes = reserved.arrived_bytes


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body may have at most {max_bytes} bytes.")


def _admit(context: Context, reserved: Reservation) -> None:
    with context.database.read() as unit:
        admit(context, unit.session, reserved.size_bytes)


@contextmanager
def _full_disk_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise InsufficientStorage("The disk has no room for this body.") from error
        raise


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb")
