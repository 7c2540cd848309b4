"""Several verifications at once, and the progress of each in its row."""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from PIL import Image
from sqlalchemy import update

from app.core.database import Database
from app.core.leased_rows import RowHold
from app.datasets.tables import DatasetVersion, VersionState
from app.datasets.verification_queue import VERIFICATIONS
from app.datasets.verifier import SMALL_ARCHIVE_BYTES
from tests.datasets.builders import a_yaml, encoded
from tests.datasets.stored_uploads import (
    DIVIDING,
    HANG_EACH,
    READY,
    READY_IF_SMALL,
    SMALL,
    version_row,
)
from tests.datasets.verifier.verifying import PROCESSES, Verifying, lives
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

SIDE, IMAGES = 6000, 40


@pytest.fixture
def verifying(database: Database, tmp_path: Path) -> Verifying:
    return Verifying.in_folder(database, tmp_path)


def progress_of(verifying: Verifying, version: DatasetVersion) -> dict[str, Any] | None:
    return version_row(verifying.database, version.id).progress


def progress_of_images(verifying: Verifying, version: DatasetVersion) -> dict[str, Any] | None:
    """Return the progress once some of the images are checked."""
    progress = progress_of(verifying, version)
    is_amid = progress is not None and progress["step"] == "images" and 0 < progress["done"] < 1
    return progress if is_amid else None


def long_upload(path: Path) -> bytes:
    """Return an archive that takes seconds to verify: large images, each decoded by itself."""
    picture = encoded(Image.new("RGB", (SIDE, SIDE), (90, 120, 60)), "JPEG")
    files: dict[str, bytes] = {"data.yaml": a_yaml()}
    for number in range(IMAGES):
        name = f"{'train' if number % 5 else 'val'}/{number}"
        files |= {f"images/{name}.jpg": picture, f"labels/{name}.txt": b"0 0.5 0.5 0.2 0.2\n"}
    with ZipFile(path, "w") as archive:  # stored, because even and deflated, it would be a bomb
        for name, content in files.items():
            archive.writestr(name, content)
    return path.read_bytes()


class TestProcesses:
    def test_a_small_upload_does_not_wait_for_large_ones(self, verifying: Verifying) -> None:
        large = [verifying.upload(f"large {number}").id for number in range(3)]
        with verifying.database.write() as unit:
            size = {"archive_bytes": SMALL_ARCHIVE_BYTES + 1}
            unit.session.execute(update(DatasetVersion).values(size))

        with verifying.verifier(READY_IF_SMALL):
            eventually(lambda: verifying.running() == 1, within=20)
            small = verifying.upload("small", SMALL)

            eventually(
                lambda: version_row(verifying.database, small.id).state is VersionState.READY,
                within=20,
            )

        states = {version_row(verifying.database, each).state for each in large}
        assert states == {VersionState.VALIDATING}

    def test_as_many_versions_are_verified_at_once_as_the_setting_allows(
        self, verifying: Verifying
    ) -> None:
        for number in range(PROCESSES + 1):
            verifying.upload(f"set {number}")

        with verifying.verifier(HANG_EACH):
            eventually(lambda: verifying.pids(PROCESSES), within=20)

            assert verifying.running() == PROCESSES

    def test_a_server_that_stops_ends_all_processes_and_returns_their_versions(
        self, verifying: Verifying
    ) -> None:
        ids = [verifying.upload(f"set {number}").id for number in range(PROCESSES)]

        with verifying.verifier(HANG_EACH):
            pids = eventually(lambda: verifying.pids(PROCESSES), within=20)

        assert not any(lives(pid) for pid in pids)
        assert verifying.running() == 0
        assert [version_row(verifying.database, each).crashes for each in ids] == [0, 0]


class TestProgress:
    def test_a_version_shows_the_step_and_share_that_its_process_reports(
        self, verifying: Verifying
    ) -> None:
        version = verifying.upload()

        with verifying.verifier(DIVIDING):
            eventually(
                lambda: progress_of(verifying, version) == {"step": "dividing", "done": 0.25},
                within=20,
            )

    def test_a_version_whose_server_stopped_has_no_progress(self, verifying: Verifying) -> None:
        version = verifying.upload()

        with verifying.verifier(HANG_EACH):
            eventually(lambda: progress_of(verifying, version), within=20)

        assert progress_of(verifying, version) is None

    def test_a_verified_version_has_no_progress(self, verifying: Verifying) -> None:
        version = verifying.upload()
        with verifying.database.write() as unit:
            values = {"progress": {"step": "images", "done": 0.5}}
            unit.session.execute(update(DatasetVersion).values(values))

        verifying.verifier(READY).verify_next()

        assert progress_of(verifying, version) is None

    def test_progress_of_an_earlier_attempt_is_not_written(self, verifying: Verifying) -> None:
        version = verifying.upload()
        earlier = RowHold(version.id, version.attempt - 1)

        with verifying.database.write() as unit:
            notes = {"progress": {"step": "images", "done": 0.5}}
            lease = verifying.settings.timing.lease
            written = VERIFICATIONS.renew(unit.session, earlier, lease=lease, notes=notes)

        assert not written
        assert progress_of(verifying, version) is None

    def test_a_real_verification_reports_the_share_of_its_images(
        self, verifying: Verifying, tmp_path: Path
    ) -> None:
        version = verifying.upload(content=long_upload(tmp_path / "upload.zip"))

        with verifying.real_verifier():
            assert eventually(lambda: progress_of_images(verifying, version), within=60)
