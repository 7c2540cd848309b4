"""Verifications count their processor time, and wait while a disk has only its reserve."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from app.core.database import Database
from app.core.storage import ArtifactStore
from app.datasets.repository import delete_dataset
from app.datasets.verifier import Verifier
from app.quotas.repository import Quota, usage_of
from app.settings import Settings
from tests.datasets.stored_uploads import READY, WAIT, a_process, a_stored_upload
from tests.datasets.verifier.verifying import pid_in
from tests.worlds.rows import Owner, an_owner

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

BURN = "import time\nwhile time.process_time() < 1.2:\n    pass\n"


class Disk(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


@pytest.fixture
def owner(database: Database) -> Owner:
    return an_owner(database)


@pytest.fixture
def verifier(database: Database, store: ArtifactStore, tmp_path: Path) -> Verifier:
    command = a_process(tmp_path / "verification.py", BURN + READY)
    settings = Settings(home=tmp_path / "home")
    return Verifier(database, store, settings, command=command)


class TestTime:
    def test_a_verification_counts_for_its_project_and_its_user(
        self,
        database: Database,
        store: ArtifactStore,
        verifier: Verifier,
        owner: Owner,
        tmp_path: Path,
    ) -> None:
        a_stored_upload(database, owner, store, tmp_path, name="shapes")

        verifier.verify_next()

        with database.read() as unit:
            for subject_id in (owner.project_id, owner.user_id):
                used = usage_of(unit.session, subject_id)[Quota.VERIFIER_SECONDS].used
                assert 1 <= used <= 60

    def test_a_verification_counts_when_its_dataset_is_deleted_meanwhile(
        self, database: Database, store: ArtifactStore, owner: Owner, tmp_path: Path
    ) -> None:
        version = a_stored_upload(database, owner, store, tmp_path, name="shapes")
        command = a_process(tmp_path / "verification.py", BURN + WAIT + READY)
        settings = Settings(home=tmp_path / "home", cage="off")
        verifier = Verifier(database, store, settings, command=command)

        with ThreadPoolExecutor(1) as pool:
            verified = pool.submit(verifier.verify_next)
            pid = pid_in(settings)
            with database.write() as unit:
                delete_dataset(unit.session, version.dataset_id)
            os.kill(pid, signal.SIGUSR1)

        assert verified.result()
        with database.read() as unit:
            assert usage_of(unit.session, owner.user_id)[Quota.VERIFIER_SECONDS].used >= 1


class TestReserve:
    def test_s3_no_version_is_verified_while_the_disk_has_only_its_reserve(
        self,
        database: Database,
        store: ArtifactStore,
        verifier: Verifier,
        owner: Owner,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        a_stored_upload(database, owner, store, tmp_path, name="shapes")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**12, 10**12, 0))
        (tmp_path / "home").mkdir(exist_ok=True)

        assert not verifier.verify_next()
