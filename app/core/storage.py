"""The artifact store: bytes by their SHA-256, on a local disk or in S3, GCS or Azure.

What `put_file` has returned is durable; what `fetch` has returned is what was put, verified.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from app.core.errors import InsufficientStorage, Unavailable
from app.settings import Settings

CHUNK_BYTES = 1024 * 1024
PRIVATE_FILE = 0o600
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
OS_ERROR = re.compile(r"\(os error (?P<errno>[0-9]+)\)")
"""How obstore's local store spells the kernel's refusal; its exceptions carry no number."""


class StoreUnavailable(Unavailable):
    """The store cannot be reached, or refuses."""

    slug, title = "store-unavailable", "The artifact store is out of reach"


class StoredBytesCorrupt(Unavailable):
    """An object's bytes do not have the digest that names them."""

    slug, title = "artifact-corrupt", "Stored bytes are damaged"


@dataclass(frozen=True)
class StoredObject:
    """What was put: the SHA-256 (hex) that names it, and its size."""

    sha256: str
    size_bytes: int


class ArtifactStore:
    """Put, open, fetch, exists and delete, by SHA-256."""

    def __init__(self, store: ObjectStore, *, local_root: Path | None) -> None:
        self._store = store
        self.local_root = local_root

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Open the store that the settings name; a local one is made where it is missing."""
        url = urlsplit(settings.effective_store_url)
        if url.scheme == "file":
            root = Path(unquote(url.path))
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            return cls(LocalStore(prefix=root), local_root=root)
        return cls(from_url(settings.effective_store_url), local_root=None)

    def put_file(self, path: Path) -> StoredObject:
        """Store a file's bytes under their digest and return it once they are durable.

        Raises:
            InsufficientStorage: the store is full.
            StoreUnavailable: it is out of reach.
        """
        digest, size = sha256_of(path)
        with _refusals_by_name():
            # A power cut before the sync can leave the name without its bytes; and who else has
            # just put the same may not have synced them yet.
            if self._size_of(digest) != size:
                obstore.put(self._store, _key(digest), path)
            self._sync(digest)
        return StoredObject(digest, size)

    def open_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """Yield `length` bytes from offset `start` in pieces; open before the first is asked for.

        Raises:
            FileNotFoundError: no such object.
            StoredBytesCorrupt: it has fewer bytes.
            StoreUnavailable: the store is out of reach.
        """
        if length == 0:
            return iter(())
        asked = (start, start + length)
        options: obstore.GetOptions = {"range": asked}
        with _refusals_by_name():
            result = obstore.get(self._store, _key(sha256), options=options)
        if tuple(result.range) != asked:
            message = f"The stored object {sha256[:12]}… is cut."
            raise StoredBytesCorrupt(message)
        return (bytes(piece) for piece in result.stream(min_chunk_size=CHUNK_BYTES))

    def fetch(self, sha256: str, to: Path) -> None:
        """Copy an object to the file `to`, which appears whole and verified or not at all.

        Raises:
            FileNotFoundError: no such object.
            StoredBytesCorrupt: its bytes have another digest.
            StoreUnavailable: the store is out of reach.
        """
        partial = to.with_name(f".{to.name}.partial")
        digest = hashlib.sha256()
        try:
            with partial.open("wb") as file:
                for piece in self._pieces(sha256):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != sha256:
                message = f"The stored object {sha256[:12]}… is damaged."
                raise StoredBytesCorrupt(message)
            partial.replace(to)
        finally:
            partial.unlink(missing_ok=True)

    def exists(self, sha256: str) -> bool:
        """Whether an object of this digest is stored."""
        with _refusals_by_name():
            return self._size_of(sha256) is not None

    def delete(self, sha256: str) -> None:
        """Remove an object; one that is not there is no error."""
        with suppress(FileNotFoundError), _refusals_by_name():
            obstore.delete(self._store, _key(sha256))

    def _pieces(self, sha256: str) -> Iterator[bytes]:
        with _refusals_by_name():
            result = obstore.get(self._store, _key(sha256))
            yield from (bytes(piece) for piece in result.stream(min_chunk_size=CHUNK_BYTES))

    def _size_of(self, sha256: str) -> int | None:
        try:
            return obstore.head(self._store, _key(sha256))["size"]
        except FileNotFoundError:
            return None

    def _sync(self, sha256: str) -> None:
        # obstore's local store renames into place without fsync and leaves files at 0644.
        if self.local_root is None:
            return
        path = self.local_root / _key(sha256)
        path.chmod(PRIVATE_FILE)
        for each in (path, path.parent, path.parent.parent, self.local_root):
            _fsync(each)


@contextmanager
def _refusals_by_name() -> Iterator[None]:
    """Raise what obstore and the file system refuse as errors of ours; a missing object stays."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        if _errno_of(error) in NO_ROOM:
            raise InsufficientStorage("The artifact store has no room for this file.") from error
        raise StoreUnavailable("The artifact store is out of reach; try again shortly.") from error


def _errno_of(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    match = OS_ERROR.search(str(error))
    return int(match["errno"]) if match else None


def sha256_of(path: Path) -> tuple[str, int]:
    """Return a file's SHA-256 (hex) and its size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def _key(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256}"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
