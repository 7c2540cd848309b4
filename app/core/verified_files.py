"""Which stored files this process has hashed and may serve, and which ones it found damaged.

A file is hashed before its first serving, and again when it may have changed. Damage that another
server has found is in the database; `Scrubber` brings it here, and takes what is found here there.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from app.core.guarded_files import FileRefused, open_regular

if TYPE_CHECKING:
    from io import BufferedReader

MOST_REMEMBERED: Final = 100_000
TURNS: Final = 16
PIECE_BYTES: Final = 1024 * 1024

Identity = tuple[object, ...]
"""What differs when stored bytes were changed or replaced: see `identity_of`."""


@dataclass(frozen=True)
class HashCheck:
    """The result of hashing one version of a stored file."""

    identity: Identity
    is_whole: bool


def identity_of(file: BinaryIO) -> Identity:
    """Return what tells one version of an open local file from another."""
    found = os.fstat(file.fileno())
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def pieces_of(file: BinaryIO) -> Iterable[bytes]:
    """Yield a whole local file without moving its position."""
    offset = 0
    while piece := os.pread(file.fileno(), PIECE_BYTES, offset):
        offset += len(piece)
        yield piece


def sha256_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 (hex) and the size in bytes of a regular file; see `open_regular`."""
    with open_regular(path) as file:
        return digest_of(file)


def digest_of(file: BinaryIO) -> tuple[str, int]:
    """Return the SHA-256 (hex) and the size in bytes of an open file, from its position on."""
    digest = hashlib.file_digest(cast("BufferedReader", file), "sha256")
    return digest.hexdigest(), file.tell()


def unchanged_pieces(file: BinaryIO, sha256: str) -> Iterator[bytes]:
    """Yield a file; at its end, raise `FileRefused` if it is not the one that was hashed."""
    digest = hashlib.sha256()
    file.seek(0)
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != sha256:
        raise FileRefused("changed while it was read")


class VerifiedFiles:
    """Remembers results by digest, for a bounded number of files; any thread can use it."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, HashCheck] = OrderedDict()
        self._marked: frozenset[str] = frozenset()
        self._news: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._turns = [threading.Lock() for _ in range(TURNS)]

    def is_whole(
        self, sha256: str, identity: Identity, pieces: Callable[[], Iterable[bytes]]
    ) -> bool:
        """Return whether a stored file has the bytes of its digest; hash it if that is not known.

        Args:
            sha256: the digest that names the file.
            identity: what identifies this version of it.
            pieces: returns its whole content.
        """
        with self._turns[int(sha256[:2], 16) % TURNS]:  # requests for one file hash it once
            with self._lock:
                known, is_marked = self._known.get(sha256), sha256 in self._marked
            is_known = known is not None and known.identity == identity
            # Marked, but whole when we hashed it: damage that did not change the file's times.
            if known is not None and is_known and not (known.is_whole and is_marked):
                return known.is_whole
            digest = hashlib.sha256()
            for piece in pieces():
                digest.update(piece)
            is_whole = digest.hexdigest() == sha256
            self.note(sha256, identity, is_whole=is_whole)
            return is_whole

    def note(self, sha256: str, identity: Identity, *, is_whole: bool) -> None:
        """Remember a result, and have it recorded if it is damage, or the end of damage."""
        with self._lock:
            self._known[sha256] = HashCheck(identity, is_whole)
            self._known.move_to_end(sha256)
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
            if not is_whole or sha256 in self._marked:
                self._news[sha256] = is_whole
                while len(self._news) > MOST_REMEMBERED:
                    self._news.pop(next(iter(self._news)))

    def news(self) -> dict[str, bool]:
        """Return what has to be recorded: whether each file is whole, by digest."""
        with self._lock:
            return dict(self._news)

    def forget_news(self, recorded: Mapping[str, bool]) -> None:
        """Forget what was recorded, unless it has changed since."""
        with self._lock:
            for sha256, is_whole in recorded.items():
                if self._news.get(sha256) is is_whole:
                    del self._news[sha256]

    def put_marked(self, marked: Iterable[str]) -> None:
        """Replace the digests of the files that are recorded as damaged."""
        with self._lock:
            self._marked = frozenset(marked)
