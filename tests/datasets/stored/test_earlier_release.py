"""Versions of the release before manifests stay ready, train the same bytes and get a manifest.

`datasets-of-0010.zip` is database and store of a server with migration 0010: five versions, for
boxes (two), keypoints, class folders and masks.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from app.core.database import Database
from app.core.migrations import upgrade
from app.core.storage import ArtifactStore, local_file
from app.datasets.fact_reader import FactReader
from app.datasets.packs.extract import pack_files
from app.datasets.reports.report import ImportOptions, VerificationRequest
from app.datasets.stored.file_bytes import VersionBytes
from app.datasets.tables import DatasetVersion, VersionState
from app.datasets.verification.verify import verify
from app.settings import Settings

pytestmark = pytest.mark.integration

HOME = Path(__file__).parents[2] / "data" / "datasets-of-0010.zip"
VERSIONS = 5


@dataclass(frozen=True)
class Instance:
    """The home of that server, with a migrated database."""

    settings: Settings
    database: Database
    store: ArtifactStore


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The instance right after the migration."""
    yield from an_instance(tmp_path_factory.mktemp("migrated") / "home")


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The instance after a server has read all packs."""
    for instance in an_instance(tmp_path_factory.mktemp("read") / "home"):
        reader = FactReader(instance.database, instance.store, instance.settings)
        while reader.read_next():
            pass
        yield instance


def an_instance(home: Path) -> Iterator[Instance]:
    with zipfile.ZipFile(HOME) as archive:
        archive.extractall(home)
    settings = Settings(home=home)
    upgrade(settings.effective_database_url)
    database = Database(settings.effective_database_url)
    yield Instance(settings, database, ArtifactStore.from_settings(settings))
    database.dispose()


def versions(database: Database) -> list[DatasetVersion]:
    with database.read() as unit:
        statement = select(DatasetVersion).order_by(DatasetVersion.id)
        return list(unit.session.scalars(statement))


class TestMigration:
    def test_versions_stay_ready_with_their_packs(self, migrated: Instance) -> None:
        found = versions(migrated.database)

        assert [version.state for version in found] == [VersionState.READY] * VERSIONS
        assert all(version.pack_sha256 and version.manifest_bytes is None for version in found)


class TestManifests:
    def test_the_files_are_those_of_the_pack(self, read: Instance) -> None:
        for version in versions(read.database):
            pack = local_file(read.store, version.pack_sha256 or "")
            assert pack is not None
            source = VersionBytes(read.database, read.store, version)

            found = {file.path: content for file, content in source.contents(source.files())}

            assert found == dict(pack_files(pack))

    def test_the_manifest_equals_that_of_the_same_upload_today(
        self, read: Instance, tmp_path: Path
    ) -> None:
        for version in versions(read.database):
            output = tmp_path / version.id
            output.mkdir()
            archive = output / "upload.zip"
            read.store.fetch(version.archive_sha256, archive)
            options = ImportOptions.model_validate({"task": version.task})

            report = verify(VerificationRequest(archive=archive, output=output, options=options))

            assert report.manifest_digest == version.manifest_digest

    def test_another_server_finds_nothing_to_do(self, read: Instance) -> None:
        assert not FactReader(read.database, read.store, read.settings).read_next()
