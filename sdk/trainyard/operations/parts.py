"""The bytes of a file that have arrived, beside where the file will be."""

import hashlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Self

from trainyard.core.steps import Operation, call

PIECE_BYTES: Final = 1024 * 1024


class Part:
    """A part of a download. One program at a time adds to it.

    Args:
        target: the file that it becomes.
        digest: SHA-256 of the whole file; None: it is not known, and the part is empty at first.
    """

    def __init__(self, target: Path, digest: str | None) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self._target = target
        self._digest = digest
        self._hash = hashlib.sha256()
        self.size = 0
        own = f".{target.name}.{os.getpid()}-{id(self)}.part"
        self._path = target.with_name(own)
        shared = target.with_name(f".{target.name}.{(digest or '')[:16]}.part")
        file = None if digest is None else _locked(shared)
        if file is not None:
            self._path = shared
        self._file: BinaryIO = self._path.open("w+b") if file is None else file
        self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self) -> None:
        while piece := self._file.read(PIECE_BYTES):
            self._hash.update(piece)
            self.size += len(piece)

    def add(self, piece: bytes) -> None:
        """Append bytes."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)

    def clear(self) -> None:
        """Begin from the beginning."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0

    def finish(self) -> bool:
        """Put the file in place if its bytes are right; return whether they are."""
        if self._digest is not None and self._hash.hexdigest() != self._digest:
            return False
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(self._target)
        return True

    def remove(self) -> None:
        """Remove the bytes."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _locked(path: Path) -> BinaryIO | None:
    """Open a part for this program alone; None if another program has it."""
    file = path.open("a+b")
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - not on every platform

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
    file.seek(0)
    return file


def open_part(target: Path, digest: str | None) -> Operation[Part]:
    """Open the part of a download; what is there of it is read."""
    return call(partial(Part, target, digest))
