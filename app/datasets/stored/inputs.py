"""Fetch what a version is made from, as files for the verification process.

A version is made from an uploaded archive, from the files of another version, or from a client's
list of files: its `recipe` tells. Listed files may be in any pack of the project.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from app.core.database import Database
from app.core.logging import get_logger
from app.core.storage import ArtifactStore, StoredBytesCorrupt, local_file
from app.datasets.packs.assembly import AssembledFile, write_assembly
from app.datasets.packs.manifest import (
    EMPTY_CLASS,
    LABEL_FOLDERS,
    ManifestFile,
    below_first_folder,
    read_manifest,
)
from app.datasets.stored.keep import in_batches
from app.datasets.stored.listing import Digest, ListedFile, read_listing
from app.datasets.stored.repository import (
    DIGESTS_AT_ONCE,
    StoredFile,
    files_in_project,
    files_of_version,
    newest_manifest,
)
from app.datasets.tables import Dataset, DatasetVersion

log = get_logger(__name__)

EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


class Recipe(BaseModel):
    """From what a version is made, besides or instead of an archive alone.

    With `parent` it has the files of this version without those that `removed` names; with
    `listing` those of a client's list. `archive` is the SHA-256 of an archive with further files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parent: str | None = None
    removed: list[str] = []
    listing: Digest | None = None
    archive: Digest | None = None


@dataclass(frozen=True)
class Inputs:
    """The files that the verification process reads.

    `project_id` and `owner_id` are those of the dataset. `previous` is the manifest of the version
    before; `pack_ids` are packs with files of `assembly`, and `packs` their files.
    """

    project_id: str
    owner_id: str
    archive: Path | None
    assembly: Path | None
    is_listing: bool
    previous: Path | None
    pack_ids: frozenset[str]
    packs: tuple[Path, ...]


@dataclass
class InputsReader:
    """Fetches the inputs of one version into a folder; `check` aborts a copy by raising."""

    database: Database
    store: ArtifactStore
    folder: Path
    check: Callable[[], None]
    _pack_ids: set[str] = field(default_factory=set)
    _packs: dict[str, Path] = field(default_factory=dict)

    def read(self, version: DatasetVersion) -> Inputs:
        """Return the inputs of a version.

        Raises:
            FileNotFoundError: the store lacks bytes that the version is made from.
            StoredBytesCorrupt: stored bytes are damaged.
        """
        recipe = Recipe.model_validate(version.recipe or {"archive": version.archive_sha256})
        dataset, before = self._dataset_and_manifest(version)
        previous = self._previous(before)
        archive = None if recipe.archive is None else self._fetch(recipe.archive, "archive")
        assembly = None
        if recipe.listing is not None or recipe.parent is not None:
            assembly = self.folder / "assembly.jsonl"
            write_assembly(assembly, self._files(dataset.project_id, recipe))
        return Inputs(
            dataset.project_id,
            dataset.owner_id,
            archive,
            assembly,
            is_listing=recipe.listing is not None,
            previous=previous,
            pack_ids=frozenset(self._pack_ids),
            packs=tuple(self._packs.values()),
        )

    def _dataset_and_manifest(self, version: DatasetVersion) -> tuple[Dataset, str | None]:
        """Return the dataset of a version, and the manifest of the ready version before it."""
        with self.database.read() as unit:
            dataset = unit.session.get(Dataset, version.dataset_id)
            before = newest_manifest(unit.session, version.dataset_id, before=version.number)
        if dataset is None:
            raise FileNotFoundError(f"{version.dataset_id} was deleted")
        return dataset, before

    def _previous(self, digest: str | None) -> Path | None:
        """Return the manifest that this version is compared with, if it can be read."""
        if digest is None:
            return None
        try:
            return self._fetch(digest, "previous.jsonl")
        except (FileNotFoundError, StoredBytesCorrupt) as error:
            log.warning("verification.previous_manifest_unreadable", cause=str(error))
            return None

    def _files(self, project_id: str, recipe: Recipe) -> Iterator[AssembledFile]:
        if recipe.listing is not None:
            listing = self._fetch(recipe.listing, "listing.jsonl")
            yield from self._assembled(
                read_listing(listing),
                lambda session, digests: files_in_project(session, project_id, digests),
            )
            return
        parent, manifest = self._manifest_of(recipe.parent or "")
        yield from _class_folders(parent)
        removed = set(recipe.removed)
        labels = {below_first_folder(path) for path in removed if path.startswith("images/")}
        files = (
            file
            for file in manifest
            if file.path not in removed and not _is_label_of(file.path, labels)
        )
        yield from self._assembled(
            files, lambda session, digests: files_of_version(session, parent.id, digests)
        )

    def _assembled(
        self,
        files: Iterable[ManifestFile | ListedFile],
        find: Callable[[Session, Sequence[str]], Mapping[str, StoredFile]],
    ) -> Iterator[AssembledFile]:
        for some in in_batches(files, DIGESTS_AT_ONCE):
            with self.database.read() as unit:
                found = find(unit.session, [file.sha256 for file in some])
            for file in some:
                yield self._placed(file, found.get(file.sha256))

    def _placed(self, file: ManifestFile | ListedFile, stored: StoredFile | None) -> AssembledFile:
        if stored is None or stored.size != file.size:
            return AssembledFile(file.path, file.sha256, file.size)
        self._pack_ids.add(stored.pack_id)
        pack = self._pack(stored.pack_sha256)
        return AssembledFile(file.path, file.sha256, stored.size, str(pack), stored.offset)

    def _pack(self, sha256: str) -> Path:
        """Return the pack's file in a local store, or fetch it: packs can be large."""
        if sha256 not in self._packs:
            self._packs[sha256] = local_file(self.store, sha256) or self._fetch(sha256, sha256)
        return self._packs[sha256]

    def _fetch(self, sha256: str, name: str) -> Path:
        path = self.folder / name
        self.store.fetch(sha256, path, check=self.check)
        return path

    def _manifest_of(self, version_id: str) -> tuple[DatasetVersion, Iterator[ManifestFile]]:
        with self.database.read() as unit:
            version = unit.session.get(DatasetVersion, version_id)
        if version is None or version.manifest_digest is None:
            raise FileNotFoundError(f"{version_id} has no stored files")
        return version, read_manifest(self._fetch(version.manifest_digest, "parent.jsonl"))


def _class_folders(parent: DatasetVersion) -> Iterator[AssembledFile]:
    """Yield a file in the folder of each class: a class without images stays a class."""
    if parent.task == "classify":
        for name in parent.classes or ():
            yield AssembledFile(f"train/{name}/{EMPTY_CLASS}", EMPTY_SHA256, 0)


def _is_label_of(path: str, images: Collection[str]) -> bool:
    return path.partition("/")[0] in LABEL_FOLDERS and below_first_folder(path) in images
