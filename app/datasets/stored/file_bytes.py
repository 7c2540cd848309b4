"""Read the bytes of a version's files out of its packs, in the order of the manifest."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.database import Database
from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.datasets.errors import DatasetBytesMissing
from app.datasets.packs.manifest import ManifestFile
from app.datasets.stored.keep import in_batches
from app.datasets.stored.reading import stored_manifest
from app.datasets.stored.repository import DIGESTS_AT_ONCE, StoredFile, files_of_version
from app.datasets.tables import DatasetVersion

MAX_GAP: Final = 64 * 1024
MAX_RUN: Final = 8 * 1024 * 1024
"""Files that lie close together are read at once: a remote store answers in milliseconds."""


@dataclass(frozen=True)
class VersionBytes:
    """A ready version with its manifest in the store, and where its bytes are."""

    database: Database
    store: ArtifactStore
    version: DatasetVersion

    def files(self) -> Iterator[ManifestFile]:
        """Yield the files, sorted by path."""
        return stored_manifest(self.store, self.version)

    def contents(self, files: Iterable[ManifestFile]) -> Iterator[tuple[ManifestFile, bytes]]:
        """Yield files with their bytes.

        Raises:
            DatasetBytesMissing: the store lacks a pack, or no pack holds the bytes.
            StoredBytesCorrupt: a pack is damaged.
        """
        digests = ((file, file.sha256) for file in files)
        yield from self._read(digests)

    def labels(self, images: Iterable[ManifestFile]) -> Iterator[tuple[ManifestFile, bytes]]:
        """Yield images with the bytes of their labels; none of a background."""
        for some in in_batches(images, DIGESTS_AT_ONCE):
            # In the order of the images, and no more at once than one run of files.
            labels = self._read((image, image.label) for image in some if image.label is not None)
            for image in some:
                yield image, b"" if image.label is None else next(labels)[1]

    def _read(
        self, wanted: Iterable[tuple[ManifestFile, str]]
    ) -> Iterator[tuple[ManifestFile, bytes]]:
        for some in in_batches(wanted, DIGESTS_AT_ONCE):
            with self.database.read() as unit:
                found = files_of_version(
                    unit.session, self.version.id, [digest for _, digest in some]
                )
            if len(found) < len({digest for _, digest in some}):
                raise DatasetBytesMissing
            placed = [(file, found[digest]) for file, digest in some]
            for run in _runs(placed):
                yield from self._run(run)

    def _run(
        self, run: Sequence[tuple[ManifestFile, StoredFile]]
    ) -> Iterator[tuple[ManifestFile, bytes]]:
        first, last = run[0][1], run[-1][1]
        length = last.offset + last.size - first.offset
        try:
            content = b"".join(self.store.open_part(first.pack_sha256, first.offset, length))
        except FileNotFoundError:
            raise DatasetBytesMissing from None
        for file, stored in run:
            begin = stored.offset - first.offset
            own = content[begin : begin + stored.size]
            if hashlib.sha256(own).hexdigest() != stored.sha256:
                text = f"The stored object {first.pack_sha256[:12]}… is damaged: {file.path}."
                raise StoredBytesCorrupt(text)
            yield file, own


def _runs(
    placed: Iterable[tuple[ManifestFile, StoredFile]],
) -> Iterator[list[tuple[ManifestFile, StoredFile]]]:
    """Divide files into runs that lie one after another in one pack."""
    run: list[tuple[ManifestFile, StoredFile]] = []
    for file, stored in placed:
        if run and not _continues(run[0][1], run[-1][1], stored):
            yield run
            run = []
        run.append((file, stored))
    if run:
        yield run


def _continues(first: StoredFile, last: StoredFile, following: StoredFile) -> bool:
    gap = following.offset - (last.offset + last.size)
    return (
        following.pack_sha256 == last.pack_sha256
        and 0 <= gap <= MAX_GAP
        and following.offset + following.size - first.offset <= MAX_RUN
    )
