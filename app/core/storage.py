"""The artifact store: bytes under their SHA-256, on a local disk or in S3, GCS or Azure.

An object is durable when `put_file` returns. `fetch` verifies the digest before it returns.

An unreferenced object is first moved aside, where readers still find it, and erased later. A writer
that found the object in the store before the move has this time to commit a reference to it.
"""

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Self, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, ObjectStore, from_url

from app.core.crash_points import CrashPoint, crash_point
from app.core.file_reader import FileReader
from app.core.files import PRIVATE_FILE, private_folder, whole_file
from app.core.guarded_files import FileRefused, open_regular
from app.core.logging import get_logger
from app.core.store_errors import StoredBytesCorrupt, StoreUnavailable, damaged, store_errors
from app.core.verified_files import (
    Identity,
    VerifiedFiles,
    digest_of,
    identity_of,
    pieces_of,
    sha256_of,
    unchanged_pieces,
)
from app.settings import Settings

__all__ = [
    "ArtifactStore",
    "AsideObject",
    "StoreUnavailable",
    "StoredBytesCorrupt",
    "StoredObject",
    "local_file",
    "never_cancelled",
    "sha256_of",
    "store_mark",
]

Value = TypeVar("Value")

log = get_logger(__name__)

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
        self.verified = VerifiedFiles()

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

        Nothing may write to the file any more; `put_open_file` is for others.

        Raises:
            FileRefused: it is a link, or no regular file.
            InsufficientStorage: the store is full.
            StoreUnavailable: the store cannot be reached, or the object was moved aside
                `PUT_TRIES` times before it was synced.
        """
        digest, size = sha256_of(path)
        return self._put(digest, size, lambda: path)

    def put_open_file(self, file: BinaryIO) -> StoredObject:
        """Store an open file from its begin; another program may change it meanwhile.

        Raises:
            FileRefused: it changed while it was read; nothing is stored.
            InsufficientStorage, StoreUnavailable: see `put_file`.
        """
        file.seek(0)
        digest, size = digest_of(file)
        return self._put(digest, size, lambda: unchanged_pieces(file, digest))

    def _put(
        self, digest: str, size: int, source: Callable[[], Path | Iterator[bytes]]
    ) -> StoredObject:
        for _ in range(PUT_TRIES):
            with suppress(FileNotFoundError), store_errors():  # it was moved aside meanwhile
                # Sync existing objects too: a power cut before the sync can leave the name without
                # the bytes, and another process that has just stored them may not have synced yet.
                if self._size_of(_key(digest)) != size:
                    obstore.put(
                        self._store,
                        _key(digest),
                        source(),
                        chunk_size=max(PART_BYTES, math.ceil(size / MAX_PARTS)),
                        max_concurrency=PARTS_AT_ONCE,
                    )
                self._sync(_key(digest))
                return StoredObject(digest, size)
        raise StoreUnavailable("The artifact store did not keep the file; try again shortly.")

    def open_range(self, sha256: str, start: int, length: int) -> Iterable[bytes]:
        """Open an object and return an iterable of `length` bytes from offset `start`.

        The whole object is hashed before its first range is returned, and again when it may have
        changed. Of a local file it is `FileReader`, which the event loop can read without threads.

        Raises, before the first piece is read:
            FileNotFoundError: the object does not exist.
            StoredBytesCorrupt: the object is damaged.
            StoreUnavailable: the store cannot be reached.
        """
        if length == 0:
            return ()
        if self.local_root is not None:
            file = self._open_local(sha256)
            with ExitStack() as closing:
                closing.callback(file.close)
                with store_errors():
                    self._check(sha256, identity_of(file), lambda: pieces_of(file))
                reader = _reader(file, sha256, start, length)
                closing.pop_all()
            return reader
        with store_errors():
            found = self._restoring(sha256, lambda: obstore.head(self._store, _key(sha256)))
            self._check(sha256, _identity(found), lambda: self._pieces(sha256))
        return self._remote_range(sha256, start, length, version=found["e_tag"])

    def open_part(self, sha256: str, start: int, length: int) -> Iterable[bytes]:
        """Do the same without hashing the object: for readers that know a digest of the part."""
        if length == 0:
            return ()
        if self.local_root is None:
            return self._remote_range(sha256, start, length)
        return _reader(self._open_local(sha256), sha256, start, length)

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
                raise damaged(sha256)

    def exists(self, sha256: str) -> bool:
        """Return whether the object is in place; an object that was moved aside is not."""
        with store_errors():
            return self._size_of(_key(sha256)) is not None

    def delete(self, sha256: str) -> None:
        """Delete an object immediately; do nothing if it does not exist."""
        with suppress(FileNotFoundError), store_errors():
            obstore.delete(self._store, _key(sha256))

    def listed(self, prefix: str) -> "Iterator[Sequence[obstore.ObjectMeta]]":
        """Yield keys and sizes below a folder of the store, in lists for one SQL query each."""
        with store_errors():
            yield from obstore.list(self._store, prefix, chunk_size=LISTED_AT_ONCE)

    def set_aside(self, sha256: str, *, due_at: datetime, within: timedelta) -> bool:
        """Move an object aside: readers still find it, and it is not erased before `due_at`.

        Return False and leave the object in place if the copy took longer than `within`, because
        its time aside could be over before it began.
        """
        began, aside = time.monotonic(), _aside_key(AsideObject(sha256, due_at))
        with suppress(FileNotFoundError), store_errors():
            self._copy(_key(sha256), aside)
            self._sync(aside)  # otherwise a power cut could lose the copy but keep the deletion
            crash_point(CrashPoint.OBJECT_COPIED_ASIDE)
            if time.monotonic() - began > within.total_seconds():
                return False
            obstore.delete(self._store, _key(sha256))
        return True

    def restore(self, sha256: str) -> bool:
        """Move an object back from aside; return whether it is in place afterwards."""
        with store_errors():
            if self._size_of(_key(sha256)) is not None:
                return True
            pages = self.listed(f"{ASIDE}/{sha256[:2]}")
            keys = [found["path"] for page in pages for found in page]
            # The newest first: an older one may be an incomplete copy.
            for key in sorted((key for key in keys if sha256 in key), reverse=True):
                with suppress(FileNotFoundError):  # it was erased after the listing
                    self._copy(key, _key(sha256))
                    self._sync(_key(sha256))
                    return True
        return False

    def erase(self, aside: AsideObject) -> None:
        """Delete an object that was moved aside; do nothing if it does not exist."""
        with suppress(FileNotFoundError), store_errors():
            obstore.delete(self._store, _aside_key(aside))

    def _open_local(self, sha256: str) -> BinaryIO:
        # obstore's stream of a local file costs seven times the CPU time of these reads.
        path = Path(self.local_root or "") / _key(sha256)
        try:
            with store_errors():
                return self._restoring(sha256, lambda: open_regular(path))
        except FileRefused as error:
            log.error("store.damaged", sha256=sha256, reason=str(error))  # noqa: TRY400 -- said in the fields
            raise damaged(sha256) from error

    def _remote_range(
        self, sha256: str, start: int, length: int, *, version: str | None = None
    ) -> Iterable[bytes]:
        requested = (start, start + length)
        options: obstore.GetOptions = {"range": requested}
        if version is not None:
            options["if_match"] = version
        with store_errors():
            result = self._get(sha256, options)
        if tuple(result.range) != requested:
            raise damaged(sha256)
        return (bytes(piece) for piece in result.stream(min_chunk_size=CHUNK_BYTES))

    def _check(
        self, sha256: str, identity: Identity, pieces: Callable[[], Iterable[bytes]]
    ) -> None:
        if not self.verified.is_whole(sha256, identity, pieces):
            log.error("store.damaged", sha256=sha256, reason="other bytes than its digest")
            raise damaged(sha256)

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
        with store_errors():
            result = self._get(sha256)
            yield from (bytes(piece) for piece in result.stream(min_chunk_size=CHUNK_BYTES))

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


def store_mark(store: ArtifactStore, name: str, otherwise: str | None) -> str | None:
    """Return the line of a small file at the top of the store; make it from `otherwise`, if any.

    Of several processes that make it at once, all return the line of the first one.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    with store_errors():
        if otherwise is not None:
            with suppress(AlreadyExistsError, FileExistsError):
                obstore.put(store._store, name, f"{otherwise}\n".encode(), mode="create")  # noqa: SLF001 -- of this module
        try:
            return bytes(obstore.get(store._store, name).bytes()).decode("ascii", "replace").strip()  # noqa: SLF001 -- as above
        except FileNotFoundError:
            return None


def _reader(file: BinaryIO, sha256: str, start: int, length: int) -> FileReader:
    if os.fstat(file.fileno()).st_size < start + length:
        file.close()
        raise damaged(sha256)
    return FileReader(file, start, length)


def _identity(found: "obstore.ObjectMeta") -> Identity:
    return (found["e_tag"], found["version"], found["size"], found["last_modified"])


def _key(sha256: str) -> str:
    return f"{STORED}/{sha256[:2]}/{sha256}"


def _aside_key(aside: AsideObject) -> str:
    milliseconds = round(aside.due_at.timestamp() * 1000)
    return f"{ASIDE}/{aside.sha256[:2]}/{aside.sha256}.{milliseconds}"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
