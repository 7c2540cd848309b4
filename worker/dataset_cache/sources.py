"""Where the bytes of a dataset version lie, and how they reach a folder: verified as they land."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from app.core.storage import ArtifactStore, StoredBytesCorrupt
from app.datasets.packs.extract import pack_files
from app.datasets.packs.manifest import read_manifest
from app.datasets.packs.pack import PackCorruptError
from worker.dataset_cache.objects import READ_ONLY, ObjectFolder

MAX_READ_BYTES: Final = 32 * 1024 * 1024
"""The most bytes of a pack that are read at once, unless one file is larger."""
MAX_GAP_BYTES: Final = 256 * 1024
"""Bytes between two files of a pack that are read too, rather than ask the store twice."""

Check = Callable[[], None]


class VersionSource(Protocol):
    """A dataset version that can be brought here; `key`, a SHA-256, names its content.

    Of a version of an earlier release whose manifest is not stored yet, this is its one pack.
    """

    @property
    def key(self) -> str: ...

    def fill(self, to: Path, objects: ObjectFolder, workspace: Path, check: Check) -> None:
        """Write every file of the version, read-only, into the empty folder `to`.

        Files that `objects` has are linked, and the others are added to it. `workspace` is a folder
        for temporary files, on the same file system. `check` aborts by raising.

        Raises:
            FileNotFoundError: the store does not have the bytes.
            StoredBytesCorrupt: stored bytes are damaged.
            PackCorruptError, ManifestCorruptError: they are not those of a dataset version.
        """


class StoredPlace(Protocol):
    """Where the bytes of a file lie: in a stored pack, from an offset on."""

    @property
    def pack_sha256(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class WholePack:
    """A version whose files are those of one pack, which `store` has under its digest."""

    store: ArtifactStore
    key: str

    def fill(self, to: Path, objects: ObjectFolder, workspace: Path, check: Check) -> None:
        """See `VersionSource.fill`."""
        pack = workspace / "pack"
        self.store.fetch(self.key, pack, check=check)
        writer = VersionWriter(to, objects)
        for name, content in pack_files(pack):
            check()
            digest = hashlib.sha256(content).hexdigest()
            if not writer.link(name, digest):
                writer.write(name, digest, content)
        pack.unlink()


@dataclass(frozen=True)
class ManifestAndPacks:
    """A version whose manifest `store` has under the digest `key`; `places` finds its bytes.

    Only bytes that no other version on this node has are read from the store.
    """

    store: ArtifactStore
    key: str
    places: Callable[[list[str]], Mapping[str, StoredPlace]]

    def fill(self, to: Path, objects: ObjectFolder, workspace: Path, check: Check) -> None:
        """See `VersionSource.fill`."""
        manifest = workspace / "manifest.jsonl"
        self.store.fetch(self.key, manifest, check=check)
        writer = VersionWriter(to, objects)
        missing: dict[str, list[str]] = {}
        for file in read_manifest(manifest):
            check()
            if file.sha256 in missing or not writer.link(file.path, file.sha256):
                missing.setdefault(file.sha256, []).append(file.path)
        manifest.unlink()
        places = self.places(list(missing))
        if absent := missing.keys() - places.keys():
            raise FileNotFoundError(f"No stored pack has {min(absent)[:12]}…")
        for digest, content in _read(self.store, places, check):
            first, *others = missing[digest]
            writer.write(first, digest, content)
            for path in others:
                if not writer.link(path, digest):
                    writer.write(path, digest, content)


@dataclass(frozen=True)
class VersionWriter:
    """Writes the files of one version into `folder`, where no file exists twice."""

    folder: Path
    objects: ObjectFolder

    def link(self, path: str, sha256: str) -> bool:
        """Make a file from the bytes of another version; return whether there were any."""
        return self.objects.link(sha256, self._place(path))

    def write(self, path: str, sha256: str, content: bytes) -> None:
        """Write a file whose content has this digest."""
        place = self._place(path)
        with place.open("xb") as file:
            file.write(content)
        place.chmod(READ_ONLY)
        self.objects.add(sha256, place)

    def _place(self, path: str) -> Path:
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or path.startswith("/"):
            raise PackCorruptError(f"{path!r} is not a path of a dataset.")
        place = self.folder.joinpath(*parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


def _read(
    store: ArtifactStore, places: Mapping[str, StoredPlace], check: Check
) -> Iterator[tuple[str, bytes]]:
    """Yield digest and verified bytes of every file, each pack from its begin to its end."""
    found = sorted(places.items(), key=lambda item: (item[1].pack_sha256, item[1].offset))
    for pack, items in groupby(found, key=lambda item: item[1].pack_sha256):
        for run in _runs(list(items)):
            check()
            start, end = run[0][1].offset, max(place.offset + place.size for _, place in run)
            content = b"".join(store.open_part(pack, start, end - start))
            for digest, place in run:
                own = content[place.offset - start : place.offset - start + place.size]
                if hashlib.sha256(own).hexdigest() != digest:
                    raise StoredBytesCorrupt(f"The stored object {pack[:12]}… is damaged.")
                yield digest, own


def _runs(items: list[tuple[str, StoredPlace]]) -> Iterator[list[tuple[str, StoredPlace]]]:
    run: list[tuple[str, StoredPlace]] = []
    start = end = 0
    for digest, place in items:
        is_near = place.offset - end <= MAX_GAP_BYTES
        if run and not (is_near and place.offset + place.size - start <= MAX_READ_BYTES):
            yield run
            run = []
        if not run:
            start = place.offset
        run.append((digest, place))
        end = max(end, place.offset + place.size)
    if run:
        yield run
