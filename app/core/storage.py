"""The artifact store: bytes by their SHA-256, on a local disk or in S3, GCS or Azure.

What `put_file` has returned is durable; what `fetch` has returned is what was put, verified.

An object that nothing names any more is first set aside, where every reader still finds it, and
erased later: whoever found its bytes stored already, a moment before, has the time to name them.
"""

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from app.core.crash_points import CrashPoint, crash_point
from app.core.errors import InsufficientStorage, Unavailable
from app.core.files import DISK_FULL_ERRORS, PRIVATE_FILE, private_folder, whole_file
from app.settings import Settings

CHUNK_BYTES = 1024 * 1024
PUT_TRIES = 10
READ_TRIES = 3
LISTED_AT_ONCE = 500
MAX_COPY_BYTES = 5 * 1024**3
"""What S3 copies by itself; a larger object goes through this process, piece by piece."""
STORED, ASIDE = "sha256", "aside"
ASIDE_NAME = re.compile(r"(?P<sha256>[0-9a-f]{64})\.(?P<due>[0-9]+)\Z")
UNFINISHED = re.compile(r".+#[0-9]+\Z")
"""How obstore's local store names a file that it has not renamed into place yet."""
NO_ROOM = DISK_FULL_ERRORS | {errno.EFBIG}
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


@dataclass(frozen=True)
class AsideObject:
    """An object that was set aside, and from when on it may be erased."""

    sha256: str
    due_at: datetime


def never_cancelled() -> None:
    """Check nothing: what is being done goes on."""


class ArtifactStore:
    """Put, open, fetch, exists, delete, and set aside what nothing names, by SHA-256."""

    def __init__(self, store: ObjectStore, *, local_root: Path | None) -> None:
        self._store = store
        self.local_root = local_root

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Open the store that the settings name; a local one is made where it is missing."""
        url = urlsplit(settings.effective_store_url)
        if url.scheme == "file":
            root = Path(unquote(url.path))
            private_folder(root)
            return cls(LocalStore(prefix=root), local_root=root)
        return cls(from_url(settings.effective_store_url), local_root=None)

    def put_file(self, path: Path) -> StoredObject:
        """Store a file's bytes under their digest and return it once they are durable.

        Raises:
            InsufficientStorage: the store is full.
            StoreUnavailable: it is out of reach.
        """
        digest, size = sha256_of(path)
        for _ in range(PUT_TRIES):
            with suppress(FileNotFoundError), _refusals_by_name():  # it was set aside meanwhile
                # A power cut before the sync can leave the name without its bytes; and who else
                # has just put the same may not have synced them yet.
                if self._size_of(_key(digest)) != size:
                    obstore.put(self._store, _key(digest), path)
                self._sync(_key(digest))
                return StoredObject(digest, size)
        raise StoreUnavailable("The artifact store does not keep what is put; try again shortly.")

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
            result = self._get(sha256, options)
        if tuple(result.range) != asked:
            message = f"The stored object {sha256[:12]}… is cut."
            raise StoredBytesCorrupt(message)
        return (bytes(piece) for piece in result.stream(min_chunk_size=CHUNK_BYTES))

    def fetch(self, sha256: str, to: Path, *, check: Callable[[], None] = never_cancelled) -> None:
        """Copy an object to the file `to`, which appears whole and verified or not at all.

        `check` is called between pieces, and ends the copying by raising.

        Raises:
            FileNotFoundError: no such object.
            StoredBytesCorrupt: its bytes have another digest.
            StoreUnavailable: the store is out of reach.
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
        """Whether an object of this digest is stored; one that was set aside is not."""
        with _refusals_by_name():
            return self._size_of(_key(sha256)) is not None

    def delete(self, sha256: str) -> None:
        """Remove an object at once; one that is not there is no error."""
        with suppress(FileNotFoundError), _refusals_by_name():
            obstore.delete(self._store, _key(sha256))

    def digests(self) -> Iterator[list[str]]:
        """Yield the digest of every stored object, so many at once as one question can hold."""
        for page in self._listed(STORED):
            yield [key.rpartition("/")[2] for key in page]

    def set_aside(self, sha256: str, *, due_at: datetime, within: timedelta) -> bool:
        """Take an object out of the way; until `due_at` nobody erases it, and readers find it.

        Returns False, and leaves the object where it is, if that took longer than `within`: its
        time aside might be over before it had begun.
        """
        began, aside = time.monotonic(), _aside_key(AsideObject(sha256, due_at))
        with suppress(FileNotFoundError), _refusals_by_name():
            self._copy(_key(sha256), aside)
            self._sync(aside)  # a power cut must not keep the deletion and lose the copy
            crash_point(CrashPoint.OBJECT_COPIED_ASIDE)
            if time.monotonic() - began > within.total_seconds():
                return False
            obstore.delete(self._store, _key(sha256))
        return True

    def aside(self) -> Iterator[list[AsideObject]]:
        """Yield every object that was set aside."""
        for page in self._listed(ASIDE):
            yield [each for key in page if (each := _aside_of(key)) is not None]

    def restore(self, sha256: str) -> bool:
        """Put an object back that was set aside; False where no such was."""
        with _refusals_by_name():
            if self._size_of(_key(sha256)) is not None:
                return True
            keys = [key for page in self._listed(f"{ASIDE}/{sha256[:2]}") for key in page]
            # The newest first: one before it may be a copy that broke off.
            for key in sorted((key for key in keys if sha256 in key), reverse=True):
                with suppress(FileNotFoundError):  # it was erased between the two
                    self._copy(key, _key(sha256))
                    self._sync(_key(sha256))
                    return True
        return False

    def erase(self, aside: AsideObject) -> None:
        """Remove for good what was set aside; one that is gone already is no error."""
        with suppress(FileNotFoundError), _refusals_by_name():
            obstore.delete(self._store, _aside_key(aside))

    def unfinished(self, *, before: datetime) -> list[Path]:
        """Return files of a local store that a killed process had begun to write before then.

        S3 and its like keep such parts out of sight; a lifecycle rule of the bucket ends them.
        """
        if self.local_root is None:
            return []
        files = [path for path in self.local_root.glob("*/*/*") if UNFINISHED.match(path.name)]
        return [path for path in files if _is_older(path, before)]

    def _get(self, sha256: str, options: "obstore.GetOptions | None" = None) -> "obstore.GetResult":
        for _ in range(READ_TRIES):
            try:
                return obstore.get(self._store, _key(sha256), options=options)
            except FileNotFoundError:
                if not self.restore(sha256):
                    raise
        return obstore.get(self._store, _key(sha256), options=options)

    def _pieces(self, sha256: str) -> Iterator[bytes]:
        with _refusals_by_name():
            result = self._get(sha256)
            yield from (bytes(piece) for piece in result.stream(min_chunk_size=CHUNK_BYTES))

    def _listed(self, prefix: str) -> Iterator[list[str]]:
        with _refusals_by_name():
            for page in obstore.list(self._store, prefix, chunk_size=LISTED_AT_ONCE):
                yield [each["path"] for each in page]

    def _size_of(self, key: str) -> int | None:
        try:
            return obstore.head(self._store, key)["size"]
        except FileNotFoundError:
            return None

    def _copy(self, source: str, to: str) -> None:
        """Copy an object: by a hard link on a local disk, by the store itself elsewhere."""
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
