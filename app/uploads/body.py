"""The body of a request in pieces of one mebibyte, which is all of it that is in memory at once."""

from collections.abc import AsyncIterator
from typing import Final

import anyio
from starlette.requests import ClientDisconnect, Request

from app.uploads.errors import IncompleteUpload

PIECE_BYTES: Final = 1024 * 1024
LIMITED_HERE: Final = 2**63 - 1
"""Upload routes limit their bodies themselves; the framework's limit is meant for JSON."""


async def pieces(request: Request, *, patience: float | None = None) -> AsyncIterator[bytes]:
    """Yield the body in pieces of at least `PIECE_BYTES`, except for the last one.

    What arrived before an error is yielded before it is raised.

    Args:
        request: its body must not have been read.
        patience: seconds to wait for the next bytes. Default: as long as the connection lasts.

    Raises:
        IncompleteUpload: the client disconnected early, or sent nothing for `patience`.
    """
    body, waiting = _parts(request, patience), bytearray()
    failure: IncompleteUpload | None = None
    try:
        async for part in body:
            waiting += part
            if len(waiting) >= PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
    except IncompleteUpload as error:
        failure = error
    if waiting:
        yield bytes(waiting)
    if failure is not None:
        raise failure


async def _parts(request: Request, patience: float | None) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            with anyio.fail_after(patience):
                part = await anext(stream, None)
        except ClientDisconnect:
            raise IncompleteUpload("The client disconnected during the upload.") from None
        except TimeoutError:
            message = f"The client sent nothing for {patience:g} seconds."
            raise IncompleteUpload(message) from None
        if part is None:
            return
        yield part


def announced_bytes(request: Request) -> int | None:
    """Return the `Content-Length` of a request; None if its length is unknown."""
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() and announced.isascii() else None
