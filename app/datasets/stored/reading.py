"""Read manifests and files of versions from the store, for requests.

A page of a manifest is read from the byte offset in its cursor, so that no page costs more than
another one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.datasets.errors import DatasetBytesMissing
from app.datasets.packs.differences import Difference, Side, next_difference
from app.datasets.packs.manifest import (
    Heading,
    ManifestCorruptError,
    ManifestFile,
    manifest_files,
)
from app.datasets.tables import DatasetVersion

FIRST_PIECE: Final = 32 * 1024
LATER_PIECE: Final = 1024 * 1024
MAX_COMPARED: Final = 20_000
"""Paths that one request compares at most; a page may then have fewer differences."""


def stored_manifest(store: ArtifactStore, version: DatasetVersion) -> Iterator[ManifestFile]:
    """Yield the files of a ready version, sorted by path; its manifest is stored.

    Raises:
        DatasetBytesMissing: the store lacks the manifest.
        StoredBytesCorrupt: the manifest is damaged.
        StoreUnavailable: the store cannot be reached.
    """
    try:
        yield from manifest_files(_lines(_pieces(store, version, 0)))
    except ManifestCorruptError as error:
        raise _damaged(version) from error


class ManifestReader:
    """Reads the files of a stored manifest from a byte offset; 0 is its beginning.

    `offset` is that of the line after the last file that was read.
    """

    def __init__(self, store: ArtifactStore, version: DatasetVersion, offset: int) -> None:
        self._version = version
        self._lines = _lines(_pieces(store, version, offset))
        self.offset = offset
        if offset == 0:
            heading = next(self._lines, b"")
            try:
                Heading.model_validate_json(heading)
            except ValidationError as error:
                raise _damaged(version) from error
            self.offset = len(heading) + 1

    def __iter__(self) -> Iterator[ManifestFile]:
        for line in self._lines:
            self.offset += len(line) + 1
            try:
                yield ManifestFile.of_line(line)
            except ManifestCorruptError as error:
                raise _damaged(self._version) from error


@dataclass(frozen=True)
class DifferencePage:
    """Some differences of two versions, and the offsets from which the next page is read."""

    differences: list[Difference]
    offsets: tuple[int, int] | None


def difference_page(
    store: ArtifactStore,
    before: DatasetVersion,
    after: DatasetVersion,
    *,
    offsets: tuple[int, int],
    limit: int,
) -> DifferencePage:
    """Return up to `limit` differences from two byte offsets on, and where the next page begins."""
    old, new = (
        _TrackedSide(ManifestReader(store, version, offset))
        for version, offset in zip((before, after), offsets, strict=True)
    )
    found: list[Difference] = []
    for _ in range(MAX_COMPARED):
        if (old.current is None and new.current is None) or len(found) == limit:
            break
        difference = next_difference(old, new)
        if difference is not None:
            found.append(difference)
    is_end = old.current is None and new.current is None
    return DifferencePage(found, None if is_end else (old.offset, new.offset))


class _TrackedSide(Side):
    """A side of a comparison that knows at which byte its current file begins."""

    def __init__(self, reader: ManifestReader) -> None:
        self._reader = reader
        self.offset = self._next = reader.offset
        super().__init__(self._tracked())

    def _tracked(self) -> Iterator[ManifestFile]:
        for file in self._reader:
            self.offset, self._next = self._next, self._reader.offset
            yield file
        self.offset = self._next


def _pieces(store: ArtifactStore, version: DatasetVersion, offset: int) -> Iterator[bytes]:
    """Yield the manifest from an offset on: a page reads little, and leaves nothing open."""
    size, most = version.manifest_bytes or 0, FIRST_PIECE
    while offset < size:
        length = min(most, size - offset)
        try:
            yield b"".join(store.open_range(version.manifest_digest or "", offset, length))
        except FileNotFoundError:
            raise DatasetBytesMissing from None
        offset, most = offset + length, LATER_PIECE


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream, without their ends."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest


def _damaged(version: DatasetVersion) -> StoredBytesCorrupt:
    return StoredBytesCorrupt(f"The stored manifest of {version.id} is damaged.")
