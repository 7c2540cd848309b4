"""Packs in the database: which files they hold, who uses them, and what keeps them."""

from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from app.core.database import Database, database_now
from app.core.storage import ArtifactStore, StoredBytesCorrupt, StoredObject, local_file
from app.datasets.errors import DatasetBytesMissing
from app.datasets.packs.manifest import ManifestFile, read_manifest, write_manifest
from app.datasets.packs.pack import PackWriter, write_packed_list
from app.datasets.stored.file_bytes import MAX_RUN, VersionBytes
from app.datasets.stored.keep import FilesKeeper, KeptFiles
from app.datasets.stored.repository import (
    delete_unused_packs,
    files_in_project,
    insert_pack,
    link_packs,
)
from app.datasets.tables import DatasetVersion, PackedBytes, StoredPack
from app.settings import Settings
from tests.datasets.stored_uploads import packs_of
from tests.worlds.rows import Rows, some_rows

pytestmark = pytest.mark.integration

GRACE = timedelta(hours=1)
PACK = StoredObject("cd" * 32, 9)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.from_settings(Settings(home=tmp_path / "home"))


@pytest.fixture
def rows(database: Database) -> Rows:
    return some_rows(database)


@pytest.fixture
def pack_id(database: Database, rows: Rows) -> str:
    """The id of a pack that was stored long ago."""
    with database.write() as unit:
        pack_id = insert_pack(unit.session, rows.project_id, PACK)
        age = update(StoredPack).values(created_at=database_now(-2 * GRACE))
        unit.session.execute(age)
    return pack_id


def an_output(folder: Path, files: dict[str, bytes]) -> Path:
    """Write what a verification process leaves for these files."""
    folder.mkdir()
    with PackWriter(folder / "pack.zip") as pack:
        for path, content in files.items():
            pack.add(path, content)
    write_packed_list(folder / "packed.jsonl", pack.packed)
    write_manifest(folder / "manifest.jsonl", "detect", pack.files)
    return folder


def extracted(
    database: Database, store: ArtifactStore, rows: Rows, kept: KeptFiles
) -> dict[str, bytes]:
    """Make the rows' version one with the kept files; return its files."""
    with database.write() as unit:
        link_packs(unit.session, rows.version_id, kept.pack_ids)
        manifest = {
            "manifest_digest": kept.manifest.sha256,
            "manifest_bytes": kept.manifest.size_bytes,
        }
        unit.session.execute(update(DatasetVersion).values(manifest))
    return contents(database, store, rows)


def a_source(database: Database, store: ArtifactStore, rows: Rows) -> VersionBytes:
    with database.read() as unit:
        version = unit.session.get(DatasetVersion, rows.version_id)
    assert version is not None
    return VersionBytes(database, store, version)


def contents(database: Database, store: ArtifactStore, rows: Rows) -> dict[str, bytes]:
    source = a_source(database, store, rows)
    return {file.path: content for file, content in source.contents(source.files())}


class TestUnusedPacks:
    def test_a_pack_that_no_version_uses_is_deleted_after_the_grace(
        self, database: Database, pack_id: str
    ) -> None:
        with database.write() as unit:
            deleted = delete_unused_packs(unit.session, after=GRACE, limit=10)

        assert deleted == 1
        with database.read() as unit:
            assert unit.session.get(StoredPack, pack_id) is None

    def test_a_pack_in_use_is_kept(self, database: Database, rows: Rows, pack_id: str) -> None:
        with database.write() as unit:
            link_packs(unit.session, rows.version_id, [pack_id])

        with database.write() as unit:
            assert delete_unused_packs(unit.session, after=GRACE, limit=10) == 0

    def test_a_pack_that_was_stored_again_is_kept(
        self, database: Database, rows: Rows, pack_id: str
    ) -> None:
        with database.write() as unit:
            assert insert_pack(unit.session, rows.project_id, PACK) == pack_id

        with database.write() as unit:
            assert delete_unused_packs(unit.session, after=GRACE, limit=10) == 0

    def test_a_deleted_pack_cannot_be_used(
        self, database: Database, rows: Rows, pack_id: str
    ) -> None:
        with database.write() as unit:
            delete_unused_packs(unit.session, after=GRACE, limit=10)

        with pytest.raises(IntegrityError), database.write() as unit:
            link_packs(unit.session, rows.version_id, [pack_id])


class TestKeeping:
    def test_only_new_files_are_stored_again(
        self, database: Database, store: ArtifactStore, rows: Rows, tmp_path: Path
    ) -> None:
        keeper = FilesKeeper(database, store, rows.project_id)
        first = keeper.keep(an_output(tmp_path / "one", {"a": b"alpha", "b": b"beta"}))
        files = {"a": b"alpha", "c": b"gamma", "again": b"alpha"}

        second = keeper.keep(an_output(tmp_path / "two", files))

        assert first.pack_ids < second.pack_ids
        with database.read() as unit:
            assert unit.session.scalar(select(func.count()).select_from(PackedBytes)) == 3
        assert extracted(database, store, rows, second) == files

    def test_nothing_new_adds_no_pack(
        self, database: Database, store: ArtifactStore, rows: Rows, tmp_path: Path
    ) -> None:
        keeper = FilesKeeper(database, store, rows.project_id)
        first = keeper.keep(an_output(tmp_path / "one", {"a": b"alpha", "b": b"beta"}))

        second = keeper.keep(an_output(tmp_path / "two", {"b": b"beta"}))

        assert second.pack_ids == first.pack_ids

    def test_another_project_has_its_own_packs(
        self, database: Database, store: ArtifactStore, rows: Rows, tmp_path: Path
    ) -> None:
        keeper = FilesKeeper(database, store, rows.project_id)
        manifest = an_output(tmp_path / "one", {"a": b"alpha"}) / "manifest.jsonl"
        keeper.keep(manifest.parent)
        digests = [file.sha256 for file in read_manifest(manifest)]

        with database.read() as unit:
            assert files_in_project(unit.session, "prj_other", digests) == {}
            assert list(files_in_project(unit.session, rows.project_id, digests)) == digests


class TestLabels:
    def test_no_more_of_big_labels_is_read_than_was_asked_for(
        self, database: Database, store: ArtifactStore, rows: Rows, tmp_path: Path
    ) -> None:
        big = {path: path.encode() * MAX_RUN for path in "ab"}
        kept = FilesKeeper(database, store, rows.project_id).keep(an_output(tmp_path / "one", big))
        extracted(database, store, rows, kept)
        source = a_source(database, store, rows)
        images = [ManifestFile(f"{it.path}.jpg", "", 0, label=it.sha256) for it in source.files()]
        with database.read() as unit:
            (pack,) = packs_of(unit.session, rows.version_id)

        labels = source.labels([ManifestFile("background.jpg", "", 0), *images])
        read = [content[:1] for _, content in islice(labels, 2)]
        store.delete(pack.sha256)

        assert read == [b"", b"a"]
        with pytest.raises(DatasetBytesMissing):
            next(labels)


class TestDamage:
    def test_damaged_bytes_are_never_exported(
        self, database: Database, store: ArtifactStore, rows: Rows, tmp_path: Path
    ) -> None:
        keeper = FilesKeeper(database, store, rows.project_id)
        kept = keeper.keep(an_output(tmp_path / "one", {"a": b"alpha", "b": b"beta"}))
        extracted(database, store, rows, kept)
        with database.read() as unit:
            (pack,) = packs_of(unit.session, rows.version_id)
        path = local_file(store, pack.sha256)
        assert path is not None
        path.write_bytes(path.read_bytes().replace(b"beta", b"bets"))

        with pytest.raises(StoredBytesCorrupt, match="is damaged: b"):
            contents(database, store, rows)
