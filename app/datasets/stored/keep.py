"""Store what the verification process wrote: the manifest, and a pack with the new files."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from app.core.database import Database
from app.core.guarded_files import open_regular
from app.core.storage import ArtifactStore, StoredObject
from app.datasets.packs.pack import PackedFile, PackWriter, read_packed_list
from app.datasets.reports.report import MANIFEST_NAME, PACK_NAME, PACKED_NAME
from app.datasets.stored.repository import (
    DIGESTS_AT_ONCE,
    files_in_project,
    insert_pack,
    insert_packed,
)

Item = TypeVar("Item")

ROWS_AT_ONCE: Final = 2000
"""Rows of one transaction, so that other writers of SQLite wait for a fraction of a second."""


@dataclass(frozen=True)
class KeptFiles:
    """The stored manifest of a version, and the ids of the packs that hold its files."""

    manifest: StoredObject
    pack_ids: frozenset[str]


class FilesKeeper:
    """Stores the files of verified versions of one project."""

    def __init__(self, database: Database, store: ArtifactStore, project_id: str) -> None:
        self._database = database
        self._store = store
        self._project_id = project_id

    def keep(self, output: Path, used: Iterable[str] = ()) -> KeptFiles:
        """Store manifest and new files from the output folder of a verification process.

        `used` are the ids of packs that hold files of the version and were read for it.

        Raises:
            OSError, PackCorruptError: the output is incomplete.
        FileRefused: a file of the output is a link, or no regular file.
        """
        packed = output / PACKED_NAME
        known = self._known(packed)
        pack_ids = set(used) | set(known.values())
        new = [file for file in read_packed_list(packed) if file.sha256 not in known]
        if new:
            pack = output / PACK_NAME
            if known:
                pack, new = _copied(pack, new, output / "new.zip")
            pack_ids.add(self._add(pack, new))
        # The last one: no row references it yet, and a large pack takes long.
        return KeptFiles(self._store.put_file(output / MANIFEST_NAME), frozenset(pack_ids))

    def adopt(self, output: Path, pack: StoredObject) -> KeptFiles:
        """Store the manifest of a pack that an earlier release stored, and where its files lie."""
        pack_id = self._insert(pack, read_packed_list(output / PACKED_NAME))
        return KeptFiles(self._store.put_file(output / MANIFEST_NAME), frozenset({pack_id}))

    def _known(self, packed: Path) -> dict[str, str]:
        """Return the packs of the project that hold files of this list, by digest."""
        known: dict[str, str] = {}
        for files in in_batches(read_packed_list(packed), DIGESTS_AT_ONCE):
            with self._database.read() as unit:
                found = files_in_project(
                    unit.session, self._project_id, [file.sha256 for file in files]
                )
            known |= {digest: file.pack_id for digest, file in found.items()}
        return known

    def _add(self, pack: Path, files: Iterable[PackedFile]) -> str:
        return self._insert(self._store.put_file(pack), files)

    def _insert(self, pack: StoredObject, files: Iterable[PackedFile]) -> str:
        with self._database.write() as unit:
            pack_id = insert_pack(unit.session, self._project_id, pack)
        for some in in_batches(files, ROWS_AT_ONCE):
            with self._database.write() as unit:
                insert_packed(unit.session, pack_id, some)
        return pack_id


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of up to `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _copied(pack: Path, files: Iterable[PackedFile], to: Path) -> tuple[Path, list[PackedFile]]:
    """Copy some files of a pack into a new one; return it, and where they lie in it."""
    with open_regular(pack) as source, PackWriter(to) as writer:
        for file in files:
            writer.add(file.sha256, os.pread(source.fileno(), file.size, file.offset))
    return to, list(writer.packed)
