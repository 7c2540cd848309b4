"""Files by content: versions of datasets that have an equal file share its bytes by a hard link."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.files import PRIVATE_FOLDER

READ_ONLY: Final = 0o444
CHUNK_BYTES: Final = 1024 * 1024
NO_MORE_LINKS: Final = frozenset({errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV})
"""A file has the most links that its file system allows, or the file system has no hard links."""


@dataclass(frozen=True)
class ObjectFolder:
    """A folder of read-only files named by their SHA-256. A file that no version links is unused.

    Several processes may use the folder at the same time.
    """

    folder: Path

    def link(self, sha256: str, to: Path) -> bool:
        """Make `to` a file with this digest, if there is one; its bytes are verified here.

        A file with other bytes is removed. Return whether `to` was made.
        """
        source = self._path(sha256)
        try:
            if _sha256(source) != sha256:
                source.unlink(missing_ok=True)
                return False
            link_or_copy(source, to)
        except FileNotFoundError:  # there is none, or it was just removed as unused
            return False
        return True

    def add(self, sha256: str, file: Path) -> None:
        """Keep a file of a version, which has this digest, for other versions."""
        path = self._path(sha256)
        try:
            os.link(file, path)
        except FileNotFoundError:
            path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            self.add(sha256, file)
        except FileExistsError:  # another slot was first: the version keeps its own file
            return
        except OSError as error:
            if error.errno not in NO_MORE_LINKS:
                raise

    def remove_unused(self) -> None:
        """Remove every file that no version links."""
        for path in self._all():
            with suppress(FileNotFoundError):
                if path.stat().st_nlink == 1:
                    path.unlink()

    def _all(self) -> Iterator[Path]:
        return self.folder.glob("??/*")

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256


def link_or_copy(source: Path, to: Path) -> None:
    """Make `to` a hard link to a read-only file; if that is not possible, a reflink or a copy.

    Raises:
        FileNotFoundError: the source does not exist.
        FileExistsError: `to` exists.
    """
    try:
        os.link(source, to)
    except OSError as error:
        if error.errno not in NO_MORE_LINKS:
            raise
        _copy(source, to)


def _copy(source: Path, to: Path) -> None:
    with source.open("rb") as reading, to.open("xb") as writing:
        # The kernel shares the blocks where the file system can.
        while os.copy_file_range(reading.fileno(), writing.fileno(), CHUNK_BYTES * 64):
            pass
    to.chmod(READ_ONLY)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
