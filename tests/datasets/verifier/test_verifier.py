"""The verifier thread: claims, leases, crashes and verdicts, on both databases."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app.core.database import Database, database_now
from app.core.storage import ArtifactStore
from app.datasets.tables import DatasetVersion, VersionState
from app.datasets.verifier import Verifier
from app.settings import Settings
from app.settings.timing import Timing
from tests.datasets.stored_uploads import (
    CRASH,
    HANG,
    INVALID,
    READY,
    a_process,
    a_stored_upload,
    an_upload,
    packs_of,
    version_row,
)
from tests.datasets.verifier.verifying import QUICK, lives, pid_in
from tests.waiting import eventually
from tests.worlds.rows import Owner, an_owner

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

ONLY_WHEN_WOKEN = Timing(reconcile_seconds=600)

SERVER = """
import sys
from app.core.database import Database
from app.core.storage import ArtifactStore
from app.datasets.verifier import Verifier
from app.settings import Settings

settings = Settings.model_validate_json(sys.argv[2])
store = ArtifactStore.from_settings(settings)
Verifier(Database(sys.argv[1]), store, settings, command=sys.argv[3:]).verify_next()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # Without a cage, since a process of these tests notes its id outside of its folder.
    return Settings(home=tmp_path / "home", timing=QUICK, cage="off")


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    return ArtifactStore.from_settings(settings)


@pytest.fixture
def owner(database: Database) -> Owner:
    return an_owner(database)


@pytest.fixture
def verifier(
    database: Database, store: ArtifactStore, settings: Settings, tmp_path: Path
) -> Callable[[str], Verifier]:
    """Return a function that makes a verifier whose process runs the given lines."""

    def make(body: str) -> Verifier:
        command = a_process(tmp_path / "verification.py", body)
        return Verifier(database, store, settings, command=command)

    return make


@pytest.fixture
def upload(
    database: Database, owner: Owner, store: ArtifactStore, tmp_path: Path
) -> Callable[..., DatasetVersion]:
    def add(name: str = "shapes") -> DatasetVersion:
        return a_stored_upload(database, owner, store, tmp_path, name=name)

    return add


class TestVerdict:
    def test_a_good_archive_becomes_a_ready_version_with_its_pack(
        self,
        database: Database,
        store: ArtifactStore,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        version = upload()

        assert verifier(READY).verify_next()

        row = version_row(database, version.id)
        assert (row.state, row.task, row.attempt) == (VersionState.READY, "detect", 1)
        assert row.classes == ["circle", "square"]
        assert row.images == {"train": 4, "val": 2}
        assert row.lease_expires_at is None
        assert row.verified_at is not None
        assert row.manifest_bytes is not None
        with database.read() as unit:
            (pack,) = packs_of(unit.session, version.id)
        content = b"".join(store.open_range(pack.sha256, 0, pack.size_bytes))
        assert content.startswith(b"packed upload_")

    def test_a_bad_archive_becomes_an_invalid_version_with_its_findings(
        self,
        database: Database,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        version = upload()

        verifier(INVALID).verify_next()

        row = version_row(database, version.id)
        assert row.state is VersionState.INVALID
        assert row.manifest_digest is None
        assert row.report is not None
        assert row.report["finding_totals"] == {"label-class": 1}

    def test_a_good_archive_of_another_task_than_the_dataset_is_invalid(
        self,
        database: Database,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        first, second = upload(), upload()
        verifier(READY).verify_next()

        verifier(READY.replace('"detect"', '"segment"')).verify_next()

        assert version_row(database, first.id).state is VersionState.READY
        row = version_row(database, second.id)
        assert (row.state, row.manifest_digest) == (VersionState.INVALID, None)
        assert row.report is not None
        assert row.report["finding_totals"] == {"task-mismatch": 1}

    def test_a_verifier_without_an_upload_does_nothing(
        self, verifier: Callable[[str], Verifier]
    ) -> None:
        assert not verifier(READY).verify_next()

    def test_spooled_files_are_gone_after_a_verification(
        self,
        settings: Settings,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        upload()

        verifier(READY).verify_next()

        assert list((settings.home / "spool").iterdir()) == []


class TestCrash:
    def test_a_process_that_crashes_is_tried_three_times_and_then_reported(
        self,
        database: Database,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        version = upload()
        crashing = verifier(CRASH)

        tried = [crashing.verify_next() for _ in range(4)]

        assert tried == [True, True, True, False]
        row = version_row(database, version.id)
        assert row.state is VersionState.INVALID
        assert row.report is not None
        assert row.report["finding_totals"] == {"verification-crashed": 1}

    def test_one_crash_of_a_verification_does_not_spoil_the_next_try(
        self,
        database: Database,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        version = upload()
        verifier(CRASH).verify_next()

        verifier(READY).verify_next()

        assert version_row(database, version.id).state is VersionState.READY

    def test_an_archive_that_kills_its_servers_is_not_tried_for_ever(
        self,
        database: Database,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        version = upload()
        with database.write() as unit:
            lost = {"lease_expires_at": database_now(-timedelta(seconds=1)), "crashes": 2}
            unit.session.execute(update(DatasetVersion).values(lost))

        verifier(READY).verify_next()

        row = version_row(database, version.id)
        assert (row.state, row.crashes) == (VersionState.INVALID, 3)

    def test_an_archive_whose_bytes_are_lost_is_reported(
        self, database: Database, owner: Owner, verifier: Callable[[str], Verifier]
    ) -> None:
        version = an_upload(database, owner, sha256="ef" * 32)
        reading = verifier(READY)

        for _ in range(3):
            reading.verify_next()

        assert version_row(database, version.id).state is VersionState.INVALID


class TestLease:
    def test_a_version_whose_server_was_killed_is_taken_up_after_its_lease(
        self,
        database: Database,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        version = upload()
        with database.write() as unit:
            lost = {"lease_expires_at": database_now(-timedelta(seconds=1)), "attempt": 1}
            unit.session.execute(update(DatasetVersion).values(lost))

        verifier(READY).verify_next()

        row = version_row(database, version.id)
        assert (row.state, row.attempt, row.crashes) == (VersionState.READY, 2, 1)

    def test_a_server_that_is_killed_takes_its_process_along_and_loses_its_version(
        self,
        database: Database,
        database_url: str,
        settings: Settings,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
        tmp_path: Path,
    ) -> None:
        version = upload()
        command = a_process(tmp_path / "hanging.py", HANG)
        arguments = (database_url, settings.model_dump_json(), *command)
        server = subprocess.Popen([sys.executable, "-c", SERVER, *arguments])
        pid = pid_in(settings)

        server.kill()
        server.wait()

        eventually(lambda: not lives(pid), within=10)
        with verifier(READY):
            eventually(
                lambda: version_row(database, version.id).state is VersionState.READY, within=30
            )
        row = version_row(database, version.id)
        assert (row.attempt, row.crashes) == (2, 1)

    def test_a_version_under_a_lease_is_left_alone(
        self,
        database: Database,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        upload()
        with database.write() as unit:
            held = {"lease_expires_at": database_now(timedelta(seconds=60)), "attempt": 1}
            unit.session.execute(update(DatasetVersion).values(held))

        assert not verifier(READY).verify_next()

    def test_the_lease_is_renewed_while_the_process_works(
        self,
        database: Database,
        settings: Settings,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        version = upload()

        with verifier(HANG):
            pid_in(settings)
            first = version_row(database, version.id).lease_expires_at

            assert first is not None
            assert eventually(
                lambda: (version_row(database, version.id).lease_expires_at or first) > first,
                within=10,
            )

    def test_a_verifier_that_loses_its_lease_kills_its_process_and_writes_nothing(
        self,
        database: Database,
        settings: Settings,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        version = upload()
        with verifier(HANG):
            pid = pid_in(settings)
            with database.write() as unit:
                taken = {"lease_expires_at": database_now(timedelta(seconds=60)), "attempt": 7}
                unit.session.execute(update(DatasetVersion).values(taken))

            eventually(lambda: not lives(pid), within=10)

        row = version_row(database, version.id)
        assert (row.state, row.attempt, row.crashes) == (VersionState.VALIDATING, 7, 0)
        assert row.lease_expires_at is not None


class TestThread:
    def test_a_server_that_stops_gives_its_version_back_at_once(
        self,
        database: Database,
        settings: Settings,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        version = upload()

        with verifier(HANG):
            pid = pid_in(settings)

        assert not lives(pid)
        row = version_row(database, version.id)
        assert (row.state, row.crashes) == (VersionState.VALIDATING, 0)
        assert row.lease_expires_at is None

    def test_an_upload_is_verified_as_soon_as_it_is_told(
        self,
        database: Database,
        store: ArtifactStore,
        settings: Settings,
        tmp_path: Path,
        upload: Callable[..., DatasetVersion],
    ) -> None:
        slow = settings.model_copy(update={"timing": ONLY_WHEN_WOKEN})
        command = a_process(tmp_path / "verification.py", READY)
        with Verifier(database, store, slow, command=command) as verifier:
            version = upload()

            verifier.wake()

            eventually(
                lambda: version_row(database, version.id).state is VersionState.READY, within=20
            )

    def test_two_servers_verify_each_version_once(
        self,
        database: Database,
        verifier: Callable[[str], Verifier],
        upload: Callable[..., DatasetVersion],
    ) -> None:
        ids = [upload(f"set {number}").id for number in range(6)]

        with verifier(READY), verifier(READY):
            eventually(
                lambda: all(version_row(database, each).state == "ready" for each in ids), within=60
            )

        assert [version_row(database, each).attempt for each in ids] == [1] * 6
