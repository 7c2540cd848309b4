"""The pack: a zip of the files that a training may read.

A pack holds the files of a version that no earlier version of the project has. The same files give
the same bytes. Workers import this module, so it uses neither the database nor the web framework.
"""

import hashlib
import json
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from app.core.guarded_files import open_regular
from app.datasets.archives.zip_members import StoredZipWriter
from app.datasets.packs.manifest import ManifestFile, encoded_line
from app.datasets.reports.report import GIB, Limits

WRITE_BUFFER_BYTES: Final = 1024 * 1024

PACK_LIMITS: Final = Limits(
    max_members=2_000_000,
    max_directory_bytes=GIB,
    max_names_characters=GIB,
    max_total_bytes=1024 * GIB,
)


class PackCorruptError(Exception):
    """The file is not a pack that the verifier wrote."""


@dataclass(frozen=True, slots=True)
class PackedFile:
    """Where the bytes of a file lie in a pack: from byte `offset`; `sha256` is hex."""

    sha256: str
    offset: int
    size: int

    def to_line(self) -> bytes:
        """Return the line of this file in a list of packed files."""
        return encoded_line({"sha256": self.sha256, "offset": self.offset, "size": self.size})


class PackWriter:
    """Writes a pack, member by member, in the order of the calls, and notes every file.

    Args:
        path: the new zip.
        stored: the digests of files that other packs of the project hold; they are noted only.
    """

    def __init__(self, path: Path, stored: Container[str] = ()) -> None:
        self._file = path.open("wb", buffering=WRITE_BUFFER_BYTES)
        self._zip = StoredZipWriter(self._file)
        self._stored = stored
        self._files: dict[str, ManifestFile] = {}
        self._packed: dict[str, PackedFile] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            self._zip.close()

    def add(self, path: str, content: bytes) -> ManifestFile:
        """Note one file, and store its bytes unless a pack holds them.

        A path that was added before keeps its first content.
        """
        if path in self._files:
            return self._files[path]
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._packed and digest not in self._stored:
            offset = self._zip.add(path, content)
            self._packed[digest] = PackedFile(digest, offset, len(content))
        self._files[path] = ManifestFile(path, digest, len(content))
        return self._files[path]

    def describe(self, path: str, size: tuple[int, int], label: str | None) -> None:
        """Note that an added file is an image of this width and height, and its label's SHA-256."""
        file = self._files[path]
        self._files[path] = ManifestFile(path, file.sha256, file.size, *size, label)

    def sha256_of(self, path: str) -> str | None:
        """Return the SHA-256 (hex) of an added file, or None if the path was not added."""
        file = self._files.get(path)
        return None if file is None else file.sha256

    @property
    def files(self) -> Iterable[ManifestFile]:
        """The files that were added, in the order of the calls."""
        return self._files.values()

    @property
    def packed(self) -> Iterable[PackedFile]:
        """The files whose bytes are in this pack, in its order."""
        return self._packed.values()


def write_packed_list(path: Path, packed: Iterable[PackedFile]) -> None:
    """Write the list of the files in a pack: JSON Lines, in the order of the pack."""
    with path.open("wb") as target:
        target.writelines(file.to_line() for file in packed)


def read_packed_list(path: Path) -> Iterator[PackedFile]:
    """Yield the files in a pack.

    Raises:
        PackCorruptError: the list is damaged.
        FileRefused: it is not a regular file.
    """
    with open_regular(path) as lines:
        for line in lines:
            try:
                yield PackedFile(**json.loads(line))
            except (ValueError, TypeError, RecursionError) as error:
                raise PackCorruptError(f"the list of packed files is damaged: {error}") from error
