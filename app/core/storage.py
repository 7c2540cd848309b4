"""The artifact store: bytes under their SHA-256, on a local disk or in S3, GCS or Azure.

An object is durable when `put_file` returns. `fetch` verifies the digest before it returns.

An unreferenced object is first moved aside, where readers still find it, and erased later. A writer
that found the object in the store before the move has this time to commit a reference to it.
"""

import errno
import hashlib
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from app.core.crash_points import CrashPoint, crash_point
from app.core.errors import InsufficientStorage, Unavailable
from app.core.file_reader import FileReader
from app.core.files import DISK_FULL_ERRORS, PRIVATE_FILE, private_folder, whole_file
from app.settings import Settings

Value = TypeVar("Value")

CHUNK_BYTES = 1024 * 1024
PUT_TRIES = 10
READ_TRIES = 3
PART_BYTES, MAX_PARTS = 5 * 1024 * 1024, 10_000
"""S3 requires parts of at least 5 MiB, except for the last one, and at most 10,000 parts."""
PARTS_AT_ONCE = 3
"""Parts of a file that are in memory while it is stored."""
LISTED_AT_ONCE = 500
MAX_COPY_BYTES = 5 * 1024**3
"""Maximum size that S3 copies itself; larger objects are copied through this process in chunks."""
STORED, ASIDE = "sha256", "aside"
ASIDE_NAME = re.compile(r"(?P<sha256>[0-9a-f]{64})\.(?P<due>[0-9]+)\Z")
UNFINISHED = re.compile(r".+#[0-9]+\Z")
"""Name of a file that obstore's local store has not renamed into place yet."""
NO_ROOM = DISK_FULL_ERRORS | {errno.EFBIG}
OS_ERROR = re.compile(r"\(os error (?P<errno>[0-9]+)\)")
"""The errno in a message of obstore's local store, whose exceptions have no errno attribute."""


class StoreUnavailable(Unavailable):
    """The artifact store cannot be reached, or refuses the request."""

    slug, title = "store-unavailable", "The artifact store is unavailable"


class StoredBytesCorrupt(Unavailable):
    """The bytes of a stored object do not match its digest."""

    slug, title = "artifact-corrupt", "Stored bytes are damaged"


@dataclass(frozen=True)
class StoredObject:
    """The SHA-256 (hex) and the size of a stored object."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class AsideObject:
    """An object that was moved aside and may be erased after `due_at`."""

    sha256: str
    due_at: datetime


def never_cancelled() -> None:
    """Do nothing: the default `check`, for operations that cannot be cancelled."""


class ArtifactStore:
    """Stores, reads, deletes and moves aside objects by their SHA-256."""

    def __init__(self, store: ObjectStore, *, local_root: Path | None) -> None:
        self._store = store
        self.local_root = local_root

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Open the store of the settings; create the folder of a local one if it is missing."""
        url = urlsplit(settings.effective_store_url)
        if url.scheme == "file":
            root = Path(unquote(url.path))
            private_folder(root)
            return cls(LocalStore(prefix=root), local_root=root)
        return cls(from_url(settings.effective_store_url), local_root=None)

    def put_file(self, path: Path) -> StoredObject:
        """Store a file's bytes under their digest; return when they are durable.

        Raises:
            InsufficientStorage: the store is full.
            StoreUnavailable: the store cannot be reached, or the object was moved aside
                `PUT_TRIES` times before it was synced.
        """
        digest, size = sha256_of(path)
        for _ in range(PUT_TRIES):
            with suppress(FileNotFoundError), _store_errors():  # it was moved aside meanwhile
                # Sync existing objects too: a power cut before the sync can leave the name without
                # the bytes, and another process that has just stored them may not have synced yet.
                if self._size_of(_key(digest)) != size:
                    obstore.put(
                        self._store,
                        _key(digest),
                        path,
                        chunk_size=max(PART_BYTES, math.ceil(size / MAX_PARTS)),
                        max_concurrency=PARTS_AT_ONCE,
                    )
                self._sync(_key(digest))
                return StoredObject(digest, size)
        raise StoreUnavailable("The artifact store did not keep the file; try again shortly.")

    def open_range(self, sha256: str, start: int, length: int) -> Iterable[bytes]:
        """Open an object and return an iterable of `length` bytes from offset `start`.

        Of a local file it is `FileReader`, which the event loop can read without threads.

        Raises, before the first piece is read:
            FileNotFoundError: the object does not exist.
            StoredBytesCorrupt: the object has fewer bytes.
            StoreUnavailable: the store cannot be reached.
        """
        if length == 0:
            return ()
        if self.local_root is not None:
            return self._open_local_range(self.local_root / _key(sha256), start, length)
        requested = (start, start + length)
        options: obstore.GetOptions = {"range": requested}
        with _store_errors():
            result = self._get(sha256, options)
        if tuple(result.range) != requested:
            raise _truncated(sha256)
        return (bytes(piece) for piece in result.stream(min_chunk_size=CHUNK_BYTES))

    def fetch(self, sha256: str, to: Path, *, check: Callable[[], None] = never_cancelled) -> None:
        """Copy an object to the file `to`, which appears complete and verified or not at all.

        `check` is called before each piece; an exception from it cancels the copy.

        Raises:
            FileNotFoundError: the object does not exist.
            StoredBytesCorrupt: the bytes do not match the digest.
            StoreUnavailable: the store cannot be reached.
        """
        digest = hashlib.sha256()
        with whole_file(to, durable=False) as file:
            for piece in self._pieces(sha256):
                check()
                digest.update(piece)
                file.write(piece)
            if digest.hexdigest() != sha256:
                message = f"The stored object {sha256[:12]}… is damaged."
                raise StoredBytesCorrupt(message)

    def exists(self, sha256: str) -> bool:
        """Return whether the object is in place; an object that was moved aside is not."""
        with _store_errors():
            return self._size_of(_key(sha256)) is not None

    def delete(self, sha256: str) -> None:
        """Delete an object immediately; do nothing if it does not exist."""
        with suppress(FileNotFoundError), _store_errors():
            obstore.delete(self._store, _key(sha256))

    def digests(self) -> Iterator[list[str]]:
        """Yield the digests of all stored objects, in lists that one SQL query can contain."""
        for page in self._listed(STORED):
            yield [key.rpartition("/")[2] for key in page]

    def set_aside(self, sha256: str, *, due_at: datetime, within: timedelta) -> bool:
        """Move an object aside: readers still find it, and it is not erased before `due_at`.

        Return False and leave the object in place if the copy took longer than `within`, because
        its time aside could be over before it began.
        """
        began, aside = time.monotonic(), _aside_key(AsideObject(sha256, due_at))
        with suppress(FileNotFoundError), _store_errors():
            self._copy(_key(sha256), aside)
            self._sync(aside)  # otherwise a power cut could lose the copy but keep the deletion
            crash_point(CrashPoint.OBJECT_COPIED_ASIDE)
            if time.monotonic() - began > within.total_seconds():
                return False
            obstore.delete(self._store, _key(sha256))
        return True

    def aside(self) -> Iterator[list[AsideObject]]:
        """Yield every object that was moved aside."""
        for page in self._listed(ASIDE):
            yield [aside for key in page if (aside := _aside_of(key)) is not None]

    def restore(self, sha256: str) -> bool:
        """Move an object back from aside; return whether it is in place afterwards."""
        with _store_errors():
            if self._size_of(_key(sha256)) is not None:
                return True
            keys = [key for page in self._listed(f"{ASIDE}/{sha256[:2]}") for key in page]
            # The newest first: an older one may be an incomplete copy.
            for key in sorted((key for key in keys if sha256 in key), reverse=True):
                with suppress(FileNotFoundError):  # it was erased after the listing
                    self._copy(key, _key(sha256))
                    self._sync(_key(sha256))
                    return True
        return False

    def erase(self, aside: AsideObject) -> None:
        """Delete an object that was moved aside; do nothing if it does not exist."""
        with suppress(FileNotFoundError), _store_errors():
            obstore.delete(self._store, _aside_key(aside))

    def unfinished(self, *, before: datetime) -> list[Path]:
        """Return incomplete files of a local store whose last write was earlier than `before`.

        Killed processes leave such files. S3 and similar stores do not list incomplete uploads; a
        lifecycle rule of the bucket removes them.
        """
        if self.local_root is None:
            return []
        files = [path for path in self.local_root.glob("*/*/*") if UNFINISHED.match(path.name)]
        return [path for path in files if _is_older(path, before)]

    def _open_local_range(self, path: Path, start: int, length: int) -> FileReader:
        # obstore's stream of a local file costs seven times the CPU time of these reads.
        with _store_errors():
            file = self._restoring(path.name, lambda: path.open("rb", buffering=0))
            if os.fstat(file.fileno()).st_size < start + length:
                file.close()
                raise _truncated(path.name)
        return FileReader(file, start, length)

    def _get(self, sha256: str, options: "obstore.GetOptions | None" = None) -> "obstore.GetResult":
        return self._restoring(
            sha256, lambda: obstore.get(self._store, _key(sha256), options=options)
        )

    def _restoring(self, sha256: str, read: Callable[[], Value]) -> Value:
        """Return what `read` returns; move an object back from aside that it does not find."""
        for _ in range(READ_TRIES):
            try:
                return read()
            except FileNotFoundError:
                if not self.restore(sha256):
                    raise
        return read()

    def _pieces(self, sha256: str) -> Iterator[bytes]:
        with _store_errors():
            result = self._get(sha256)
            yield from (bytes(piece) for piece in result.stream(min_chunk_size=CHUNK_BYTES))

    def _listed(self, prefix: str) -> Iterator[list[str]]:
        with _store_errors():
            for page in obstore.list(self._store, prefix, chunk_size=LISTED_AT_ONCE):
                yield [listed["path"] for listed in page]

    def _size_of(self, key: str) -> int | None:
        try:
            return obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            return None

    def _copy(self, source: str, to: str) -> None:
        """Copy an object: as a hard link on a local disk, otherwise inside the store if it can."""
        size = obstore.head(self._store, source)["size"]
        if self.local_root is not None or size <= MAX_COPY_BYTES:
            obstore.copy(self._store, source, to)
            return
        with obstore.open_writer(self._store, to) as copy:
            for piece in obstore.get(self._store, source).stream(min_chunk_size=CHUNK_BYTES):
                copy.write(piece)

    def _sync(self, key: str) -> None:
        # obstore's local store renames into place without fsync and leaves files at 0644.
        if self.local_root is None:
            return
        path = self.local_root / key
        path.chmod(PRIVATE_FILE)
        for synced in (path, path.parent, path.parent.parent, self.local_root):
            _fsync(synced)


def local_file(store: ArtifactStore, sha256: str) -> Path | None:
    """Return the file of an object in a local store; None if it is not in place, or remote."""
    path = None if store.local_root is None else store.local_root / _key(sha256)
    return path if path is not None and path.is_file() else None


@contextmanager
def _store_errors() -> Iterator[None]:
    """Raise errors of obstore and the file system as our own, except FileNotFoundError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        if _errno_of(error) in NO_ROOM:
            raise InsufficientStorage("The artifact store has no space for this file.") from error
        raise StoreUnavailable("The artifact store is unavailable; try again shortly.") from error


def _truncated(sha256: str) -> StoredBytesCorrupt:
    return StoredBytesCorrupt(f"The stored object {sha256[:12]}… is truncated.")


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
    return f"{STORED}/{sha256[:2]}/{sha256}"


def _aside_key(aside: AsideObject) -> str:
    milliseconds = round(aside.due_at.timestamp() * 1000)
    return f"{ASIDE}/{aside.sha256[:2]}/{aside.sha256}.{milliseconds}"


def _aside_of(key: str) -> AsideObject | None:
    match = ASIDE_NAME.match(key.rpartition("/")[2])
    if match is None:
        return None
    return AsideObject(match["sha256"], datetime.fromtimestamp(int(match["due"]) / 1000, UTC))


def _is_older(path: Path, moment: datetime) -> bool:
    try:
        return path.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
