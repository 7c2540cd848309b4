"""Stream an upload into a spool file; an interrupted upload leaves no file behind."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.core.errors import BadRequest, InsufficientStorage, TooLarge
from app.core.files import PRIVATE_FILE, is_disk_full, private_folder
from app.core.ids import new_id
from app.datasets.errors import EmptyArchive

PIECE_BYTES: Final = 1024 * 1024


class IncompleteUpload(BadRequest):
    """The client disconnected before it had sent the whole body."""

    slug, title = "incomplete-upload", "The upload is incomplete"


@asynccontextmanager
async def spooled(
    body: AsyncIterator[bytes], directory: Path, *, max_bytes: int
) -> AsyncIterator[Path]:
    """Write `body` to a new file in `directory`, and delete the file when the block ends.

    Raises:
        EmptyArchive: the body is empty.
        TooLarge: the body has more than `max_bytes`.
        IncompleteUpload: the client disconnected early.
        InsufficientStorage: the disk is full.
    """
    path = directory / f"{new_id('upload')}.zip"
    try:
        try:
            await run_in_threadpool(private_folder, directory)
            await _write(body, path, max_bytes)
        except ClientDisconnect:
            raise IncompleteUpload("The client disconnected during the upload.") from None
        except OSError as error:
            if is_disk_full(error):
                raise InsufficientStorage("The disk has no room for this archive.") from error
            raise
        yield path
    finally:
        path.unlink(missing_ok=True)


async def _write(body: AsyncIterator[bytes], path: Path, max_bytes: int) -> None:
    """Write one mebibyte at a time in a thread, so that the event loop never waits for the disk."""
    received, waiting = 0, bytearray()
    file = _create(path)
    try:
        async for piece in body:
            received += len(piece)
            if received > max_bytes:
                raise TooLarge(f"An archive may have at most {max_bytes} bytes.")
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                await run_in_threadpool(file.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(file.write, bytes(waiting))
    finally:
        await run_in_threadpool(file.close)
    if received == 0:
        raise EmptyArchive


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb")
