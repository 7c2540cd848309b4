"""Datasets on the worker's disk: fetched once per digest, verified, and shared by its slots.

An entry is a folder named after the digest of its pack. Its users hold a shared lock on it. Only
unused entries are evicted, the least recently used first.
"""

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.core.files import PRIVATE_FILE, PRIVATE_FOLDER, private_folder
from app.core.logging import get_logger
from app.core.storage import ArtifactStore, never_cancelled

LOCK_SECONDS = 0.1

log = get_logger(__name__)


@dataclass(frozen=True)
class DatasetCache:
    """The folder of all entries, the store of their packs, and the size limit of all entries.

    `extract` unpacks a verified pack file into a folder that does not exist yet.
    """

    folder: Path
    store: ArtifactStore
    extract: Callable[[Path, Path], object]
    limit_bytes: int

    @contextmanager
    def entry(self, digest: str, *, check: Callable[[], None] = never_cancelled) -> Iterator[Path]:
        """Yield the folder of the dataset whose pack has this SHA-256; keep it during the block.

        `check` is called repeatedly while the pack is fetched, here or by another slot, and aborts
        the wait by raising.

        Raises:
            FileNotFoundError: the store has no such pack.
            StoredBytesCorrupt: the stored pack is damaged.
        """
        private_folder(self.folder)
        folder = self.folder / digest
        with _lock_file(self._lock_path(digest)) as descriptor:
            while True:
                _take(descriptor, fcntl.LOCK_SH, check)
                if folder.is_dir():
                    break
                _take(descriptor, fcntl.LOCK_EX, check)  # the upgrade is not atomic: check again
                if not folder.is_dir():
                    self._make_room()
                    self._fetch(digest, folder, check)
            now = time.time_ns()  # the file system's own "now" is too coarse to order two uses
            os.utime(descriptor, ns=(now, now))
            yield folder

    def evict(self) -> None:
        """Remove unused entries, the least recently used first, until the others fit the limit."""
        entries = sorted(self._entries(), key=self._last_used)
        sizes = {entry: _bytes_below(entry) for entry in entries}
        total = sum(sizes.values())
        for entry in entries:
            if total <= self.limit_bytes:
                return
            if self._remove_unused(entry):
                total -= sizes[entry]
                log.info("dataset_cache.evicted", digest=entry.name, bytes=sizes[entry])

    def _make_room(self) -> None:
        for leftover in self.folder.glob(".*.partial"):
            if self._remove_unused(leftover):
                log.info("dataset_cache.leftover_removed", name=leftover.name)
        self.evict()

    def _fetch(self, digest: str, folder: Path, check: Callable[[], None]) -> None:
        partial = self._partial(digest)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=PRIVATE_FOLDER)
        try:
            pack = partial / "pack"
            self.store.fetch(digest, pack, check=check)
            check()
            self.extract(pack, partial / "content")
            os.sync()  # after a power cut, an entry with empty files would look complete
            (partial / "content").rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _entries(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_dir() and path.name[0] != "."]

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
                shutil.rmtree(leftover, ignore_errors=True)
                entry.rename(leftover)
            shutil.rmtree(leftover)
            return True

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


def _bytes_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
