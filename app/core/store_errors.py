"""The errors of the artifact store, and how those of obstore and of the disk become them."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from app.core.errors import InsufficientStorage, TrainyardError, Unavailable
from app.core.files import DISK_FULL_ERRORS

NO_ROOM = DISK_FULL_ERRORS | {errno.EFBIG}
OS_ERROR = re.compile(r"\(os error (?P<errno>[0-9]+)\)")
"""The errno in a message of obstore's local store, whose exceptions have no errno attribute."""


class StoreUnavailable(Unavailable):
    """The artifact store cannot be reached, or refuses the request."""

    slug, title = "store-unavailable", "The artifact store is unavailable"


class StoredBytesCorrupt(TrainyardError):
    """The bytes of a stored object do not match its digest; they are not sent."""

    slug, title = "artifact-corrupt", "Stored bytes are damaged"


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise errors of obstore and the file system as our own, except FileNotFoundError."""
    try:
        yield
    except (FileNotFoundError, StoredBytesCorrupt):
        raise
    except (BaseError, OSError) as error:
        if _errno_of(error) in NO_ROOM:
            raise InsufficientStorage("The artifact store has no space for this file.") from error
        raise StoreUnavailable("The artifact store is unavailable; try again shortly.") from error


def damaged(sha256: str) -> StoredBytesCorrupt:
    """Return the error of a stored object whose bytes do not match its digest."""
    return StoredBytesCorrupt(f"The stored object {sha256[:12]}… is damaged; ask the operator.")


def _errno_of(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    match = OS_ERROR.search(str(error))
    return int(match["errno"]) if match else None
