"""The free space that stays in reserve on the disks of a process.

When the reserve is reached, whatever would take space is refused before it starts. Reads, cancels
and deletions go on, so that space can be made.
"""

import shutil
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple, Self

from app.core.errors import InsufficientStorage
from app.core.storage import ArtifactStore
from app.settings import Settings

MAX_RESERVED_SHARE: Final = 10
"""The reserve is at most a tenth of a disk."""
MAX_AGE_SECONDS: Final = 1.0


class ReserveReached(InsufficientStorage):
    """A disk of the server has no more free space than its reserve."""

    def __init__(self, free: int, reserve: int) -> None:
        super().__init__(
            f"A disk of the server has {free} bytes free, and {reserve} bytes stay in reserve. "
            "Delete jobs or datasets, or ask the operator for space.",
            extra={"free_bytes": free, "reserve_bytes": reserve},
        )


def reserve_of(total: int, reserve_bytes: int) -> int:
    """Return the bytes that stay free on a disk of `total` bytes."""
    return min(reserve_bytes, total // MAX_RESERVED_SHARE)


class _Disk(NamedTuple):
    free: int
    reserve: int


class DiskReserve:
    """Looks at the disks of some folders, at most once a second."""

    def __init__(self, folders: frozenset[Path], reserve_bytes: int) -> None:
        self._folders = folders
        self._reserve_bytes = reserve_bytes
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._reached: _Disk | None = None

    @classmethod
    def of(cls, settings: Settings, store: ArtifactStore) -> Self:
        """Return the reserve of the disks that hold the home and a local store."""
        folders = frozenset({settings.home, store.local_root or settings.home})
        return cls(folders, settings.limits.disk_reserve_bytes)

    def is_reached(self) -> bool:
        """Return whether a disk has no more free space than its reserve; a second old at most."""
        return self._look() is not None

    def require(self) -> None:
        """Refuse what would take space.

        Raises:
            ReserveReached: a disk has no more free space than its reserve.
        """
        reached = self._look()
        if reached is not None:
            raise ReserveReached(reached.free, reached.reserve)

    def _look(self) -> _Disk | None:
        with self._lock:
            now = time.monotonic()
            if self._looked_at is None or now - self._looked_at >= MAX_AGE_SECONDS:
                self._reached = self._full_disk()
                self._looked_at = now
            return self._reached

    def _full_disk(self) -> _Disk | None:
        for folder in self._folders:
            try:
                disk = shutil.disk_usage(folder)
            except FileNotFoundError:  # nothing was stored yet
                continue
            reserve = reserve_of(disk.total, self._reserve_bytes)
            if disk.free < reserve:
                return _Disk(disk.free, reserve)
        return None
