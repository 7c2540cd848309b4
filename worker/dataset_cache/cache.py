"""Dataset versions on the worker's disk: made once, verified, and shared by its slots.

An entry is a folder named after the digest of its version. Its users hold a shared lock on it. Only
unused entries are evicted, the least recently used first.
"""

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.files import PRIVATE_FILE, PRIVATE_FOLDER, private_folder
from app.core.logging import get_logger
from app.core.storage import never_cancelled
from worker.dataset_cache.entry import CachedVersion, bytes_in, remove_tree
from worker.dataset_cache.objects import ObjectFolder
from worker.dataset_cache.sources import VersionSource

LOCK_SECONDS: Final = 0.1
OBJECTS: Final = "objects"
FREE_SHARE: Final = 1.1
"""How much more than its size must be free on the disk for something that trainings can miss."""

log = get_logger(__name__)


@dataclass(frozen=True)
class DatasetCache:
    """The folder of all entries, and the size limit of everything in it."""

    folder: Path
    limit_bytes: int

    @contextmanager
    def entry(
        self, source: VersionSource, *, check: Callable[[], None] = never_cancelled
    ) -> Iterator[CachedVersion]:
        """Yield the entry of a dataset version; keep it during the block.

        An entry with another file than it was made with is made again; that waits for its users.

        `check` is called repeatedly while the version is fetched, here or by another slot, and
        aborts the wait by raising.

        Raises:
            FileNotFoundError, StoredBytesCorrupt, PackCorruptError: see `VersionSource.fill`.
        """
        private_folder(self.folder)
        version = CachedVersion(self.folder / source.key)
        with _lock_file(self._lock_path(source.key)) as descriptor:
            while True:
                _take(descriptor, fcntl.LOCK_SH, check)
                if self._is_usable(version, check):
                    break
                _take(descriptor, fcntl.LOCK_EX, check)  # the upgrade is not atomic: check again
                if not self._is_usable(version, check):
                    self._make(source, version, check)
            now = time.time_ns()  # the file system's own "now" is too coarse to order two uses
            os.utime(descriptor, ns=(now, now))
            yield version

    @contextmanager
    def preparing(self, key: str, *, check: Callable[[], None] = never_cancelled) -> Iterator[None]:
        """Keep other slots from preparing an entry, which is in use by the caller, too."""
        with _lock_file(self.folder / f"{key}.preparing.lock") as descriptor:
            _take(descriptor, fcntl.LOCK_EX, check)
            yield

    @contextmanager
    def using_arrays(self, key: str) -> Iterator[None]:
        """Keep the arrays of an entry during the block; begin it inside of `preparing`."""
        with self._arrays_lock(key) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield

    @contextmanager
    def replacing_arrays(self, key: str) -> Iterator[bool]:
        """Yield whether no training uses the arrays of an entry; begin it inside of `preparing`."""
        with self._arrays_lock(key) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def evict(self, *, for_bytes: int = 0) -> bool:
        """Remove unused entries, the least recently used first, until the others fit the limit.

        Args:
            for_bytes: what is to be added.

        Returns:
            Whether what is left fits, together with what is to be added.
        """
        total = bytes_in(self.folder)
        if total + for_bytes > self.limit_bytes:
            self._objects.remove_unused()
            total = bytes_in(self.folder)
        for entry in sorted(self._entries(), key=self._last_used):
            if total + for_bytes <= self.limit_bytes:
                break
            if self._remove_unused(entry):
                self._objects.remove_unused()
                left = bytes_in(self.folder)
                log.info("dataset_cache.evicted", digest=entry.name, bytes=total - left)
                total = left
        return total + for_bytes <= self.limit_bytes

    def has_room_for(self, size_bytes: int) -> bool:
        """Return whether something that trainings can miss fits the limit and the disk.

        Unused entries are evicted for it.
        """
        if size_bytes > self.limit_bytes or not self.evict(for_bytes=size_bytes):
            return False
        return shutil.disk_usage(self.folder).free > size_bytes * FREE_SHARE

    @property
    def _objects(self) -> ObjectFolder:
        return ObjectFolder(self.folder / OBJECTS)

    def _is_usable(self, version: CachedVersion, check: Callable[[], None]) -> bool:
        if not version.files.is_dir():
            return False
        with self.preparing(version.key, check=check):  # which may repair files
            if version.is_unchanged():
                return True
        log.warning("dataset_cache.entry_changed", digest=version.key)
        return False

    def _make(
        self, source: VersionSource, version: CachedVersion, check: Callable[[], None]
    ) -> None:
        self._make_room()
        partial = self._partial(source.key)
        remove_tree(partial)
        if version.folder.exists():  # it was changed, or an earlier release made it
            version.folder.rename(partial)
            remove_tree(partial)
        partial.mkdir(mode=PRIVATE_FOLDER)
        try:
            made = CachedVersion(partial)
            made.files.mkdir()
            source.fill(made.files, self._objects, partial, check)
            made.seal()
            os.sync()  # after a power cut, an entry with empty files would look complete
            partial.rename(version.folder)
        finally:
            remove_tree(partial)

    def _make_room(self) -> None:
        for leftover in self.folder.glob(".*.partial"):
            if self._remove_unused(leftover):
                log.info("dataset_cache.leftover_removed", name=leftover.name)
        self.evict()

    def _entries(self) -> list[Path]:
        found = (path for path in self.folder.iterdir() if path.is_dir())
        return [path for path in found if path.name[0] != "." and path.name != OBJECTS]

    def _last_used(self, entry: Path) -> int:
        path = self._lock_path(entry.name)
        return path.stat().st_mtime_ns if path.exists() else 0

    def _remove_unused(self, entry: Path) -> bool:
        digest = entry.name.removeprefix(".").removesuffix(".partial")
        with _lock_file(self._lock_path(digest)) as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            # Renamed first: if the removal is interrupted, the rest must not look like an entry.
            leftover = self._partial(digest)
            if entry != leftover:
                remove_tree(leftover)
                entry.rename(leftover)
            remove_tree(leftover)
            return True

    def _arrays_lock(self, key: str) -> AbstractContextManager[int]:
        return _lock_file(self.folder / f"{key}.arrays.lock")

    def _partial(self, digest: str) -> Path:
        return self.folder / f".{digest}.partial"

    def _lock_path(self, digest: str) -> Path:
        return self.folder / f"{digest}.lock"


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    # The file is never removed: a lock on an unlinked file would not exclude other processes.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int, check: Callable[[], None]) -> None:
    pause = threading.Event()
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            check()
            pause.wait(LOCK_SECONDS)
        else:
            return
