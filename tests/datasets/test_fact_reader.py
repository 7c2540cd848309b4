"""The fact reader: versions of an earlier release get their training facts from the pack."""

from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from sqlalchemy import update

from app.core.database import Database
from app.core.storage import ArtifactStore, local_file
from app.datasets.fact_reader import FactReader
from app.datasets.reports.report import ImportOptions, VerificationRequest
from app.datasets.repository import record_facts
from app.datasets.tables import DatasetVersion
from app.datasets.verification.verify import verify
from app.settings import Settings
from tests.datasets.builders import POSE_KEYS, a_zip, label_files
from tests.datasets.stored_uploads import CRASH, a_process, version_row
from tests.waiting import eventually
from tests.worlds.rows import Rows, some_rows

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

FACTS = {
    "running_max_objects": {"train": [[0, 1], [1, 2]], "val": [[0, 1], [1, 2]]},
    "has_flip_idx": True,
    "has_masks": False,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    return ArtifactStore.from_settings(settings)


@pytest.fixture
def rows(database: Database) -> Rows:
    """Return rows whose version has neither facts nor, yet, a pack in the store."""
    return some_rows(database, task="pose")


@pytest.fixture
def old_version(
    database: Database, store: ArtifactStore, rows: Rows, tmp_path: Path
) -> Callable[[], str]:
    """Return a function that stores a pack as an earlier release did, and returns the version."""

    def make() -> str:
        files = label_files("pose", **POSE_KEYS)
        archive = a_zip(tmp_path / "upload.zip", files)
        verify(
            VerificationRequest(
                archive=archive, output=tmp_path, options=ImportOptions(task="pose")
            )
        )
        pack = store.put_file(tmp_path / "pack.zip")
        with database.write() as unit:
            of_version = update(DatasetVersion).where(DatasetVersion.id == rows.version_id)
            unit.session.execute(of_version.values(pack_sha256=pack.sha256, training_facts=None))
        return rows.version_id

    return make


def forget_facts(database: Database, version_id: str) -> None:
    with database.write() as unit:
        of_version = update(DatasetVersion).where(DatasetVersion.id == version_id)
        unit.session.execute(of_version.values(training_facts=None))


class TestReading:
    def test_a_version_of_an_earlier_release_gets_its_facts_once(
        self,
        database: Database,
        store: ArtifactStore,
        settings: Settings,
        old_version: Callable[[], str],
    ) -> None:
        version_id = old_version()
        reader = FactReader(database, store, settings)

        answers = (reader.read_next(), reader.read_next())

        assert answers == (True, False)
        assert version_row(database, version_id).training_facts == FACTS
        assert list((settings.home / "spool").iterdir()) == []

    def test_the_pack_of_a_remote_store_is_fetched(
        self,
        database: Database,
        settings: Settings,
        store: ArtifactStore,
        old_version: Callable[[], str],
    ) -> None:
        version_id = old_version()
        pack = local_file(store, version_row(database, version_id).pack_sha256 or "")
        remote = ArtifactStore(MemoryStore(), local_root=None)
        assert pack is not None
        remote.put_file(pack)

        FactReader(database, remote, settings).read_next()

        assert version_row(database, version_id).training_facts == FACTS

    def test_facts_that_another_server_stored_first_stay(
        self, database: Database, rows: Rows
    ) -> None:
        forget_facts(database, rows.version_id)
        with database.write() as unit:
            record_facts(unit.session, rows.version_id, FACTS)

        with database.write() as unit:
            record_facts(unit.session, rows.version_id, {})

        assert version_row(database, rows.version_id).training_facts == FACTS

    def test_a_pack_that_is_gone_is_passed_over(
        self, database: Database, store: ArtifactStore, settings: Settings, rows: Rows
    ) -> None:
        forget_facts(database, rows.version_id)
        reader = FactReader(database, store, settings)

        answers = (reader.read_next(), reader.read_next())

        assert answers == (True, False)
        assert version_row(database, rows.version_id).training_facts is None

    def test_a_fault_of_the_disk_leaves_a_version_for_the_next_time(
        self,
        database: Database,
        store: ArtifactStore,
        settings: Settings,
        old_version: Callable[[], str],
    ) -> None:
        version_id = old_version()
        (settings.home / "spool").write_text("not a folder")
        reader = FactReader(database, store, settings)

        with pytest.raises(OSError, match="spool"):
            reader.read_next()
        (settings.home / "spool").unlink()

        assert reader.read_next()
        assert version_row(database, version_id).training_facts == FACTS

    def test_a_process_that_crashes_is_not_started_again(
        self,
        database: Database,
        store: ArtifactStore,
        settings: Settings,
        old_version: Callable[[], str],
        tmp_path: Path,
    ) -> None:
        old_version()
        crashing = a_process(tmp_path / "crash.py", CRASH)
        reader = FactReader(database, store, settings, command=crashing)

        answers = (reader.read_next(), reader.read_next())

        assert answers == (True, False)

    def test_the_thread_reads_at_the_start_of_a_server(
        self,
        database: Database,
        store: ArtifactStore,
        settings: Settings,
        old_version: Callable[[], str],
    ) -> None:
        version_id = old_version()

        with FactReader(database, store, settings):
            facts = eventually(lambda: version_row(database, version_id).training_facts, within=60)

        assert facts == FACTS
