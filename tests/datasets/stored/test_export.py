"""An exported version comes in again as the same version, or with the same labels."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from app.core.database import Database
from app.core.migrations import upgrade
from app.core.storage import ArtifactStore
from app.core.tasks import Task
from app.datasets.reports.report import ImportOptions, Report, VerificationRequest
from app.datasets.stored.export import ExportFormat, export
from app.datasets.stored.file_bytes import VersionBytes
from app.datasets.stored.keep import FilesKeeper
from app.datasets.stored.repository import link_packs
from app.datasets.tables import DatasetVersion, VersionPack
from app.datasets.verification.verify import verify
from app.settings import Settings
from tests.datasets.builders import (
    POSE_KEYS,
    Files,
    a_zip,
    class_files,
    depth_files,
    label_files,
    mask_files,
)
from tests.datasets.outputs import files_of_output
from tests.datasets.verification.whole_sets.drawn_sets import class_folders, datasets
from tests.worlds.rows import Rows, some_rows

pytestmark = pytest.mark.integration

OTHERS: dict[str, tuple[Task, Files]] = {
    "masks": ("semantic", mask_files()),
    "polygons": ("semantic", label_files("segment")),
    "depth": ("depth", depth_files()),
    "folders": ("classify", class_files()),
}


class Instance:
    """A database and a store with one version, whose files are those of the last verification."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(home=folder / "home")
        upgrade(settings.effective_database_url)
        self.database = Database(settings.effective_database_url)
        self.store = ArtifactStore.from_settings(settings)
        self.rows: Rows = some_rows(self.database)

    def exported(self, report: Report, output: Path, kind: ExportFormat) -> bytes:
        """Keep the output of a verification, and return its export."""
        kept = FilesKeeper(self.database, self.store, self.rows.project_id).keep(output)
        manifest = {
            "task": report.task,
            "manifest_digest": kept.manifest.sha256,
            "manifest_bytes": kept.manifest.size_bytes,
        }
        with self.database.write() as unit:
            unit.session.query(VersionPack).delete()
            link_packs(unit.session, self.rows.version_id, kept.pack_ids)
            unit.session.execute(update(DatasetVersion).values(manifest))
        with self.database.read() as unit:
            version = unit.session.get(DatasetVersion, self.rows.version_id)
        assert version is not None
        return b"".join(export(VersionBytes(self.database, self.store, version), kind))


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    made = Instance(tmp_path_factory.mktemp("export"))
    yield made
    made.database.dispose()


def verified(archive: Path, output: Path, task: Task | None) -> Report:
    output.mkdir()
    options = ImportOptions(task=task)
    report = verify(VerificationRequest(archive=archive, output=output, options=options))
    assert report.state == "ready", report.findings
    return report


def round_trip(
    instance: Instance, folder: Path, drawn: tuple[Task, Files], kind: ExportFormat
) -> tuple[Report, Report]:
    """Return the reports of files, and of their export."""
    task, files = drawn
    first = verified(a_zip(folder / "upload.zip", files), folder / "first", task)
    (folder / "export.zip").write_bytes(instance.exported(first, folder / "first", kind))
    return first, verified(folder / "export.zip", folder / "again", task)


class TestYolo:
    @given(drawn=st.one_of(datasets(), class_folders()))
    @settings(max_examples=8, deadline=None)
    def test_any_valid_set_comes_in_again_as_the_same_version(
        self, instance: Instance, drawn: tuple[Task, Files]
    ) -> None:
        with tempfile.TemporaryDirectory() as name:
            first, again = round_trip(instance, Path(name), drawn, ExportFormat.YOLO)

        assert again.manifest_digest == first.manifest_digest

    @pytest.mark.parametrize("name", OTHERS)
    def test_targets_other_than_rows_come_in_again_too(
        self, instance: Instance, tmp_path: Path, name: str
    ) -> None:
        first, again = round_trip(instance, tmp_path, OTHERS[name], ExportFormat.YOLO)

        assert again.manifest_digest == first.manifest_digest


class TestCoco:
    @pytest.mark.parametrize("task", ["detect", "segment", "obb", "pose"])
    def test_labels_come_in_again_with_their_classes_and_coordinates(
        self, instance: Instance, tmp_path: Path, task: Task
    ) -> None:
        keys = POSE_KEYS if task == "pose" else {}
        files = label_files(task, **keys)

        first, again = round_trip(instance, tmp_path, (task, files), ExportFormat.COCO)

        assert again.classes == first.classes
        assert again.splits == first.splits
        before, after = rows_in(tmp_path / "first"), rows_in(tmp_path / "again")
        assert before.keys() == after.keys()
        for path, rows in before.items():
            assert after[path] == [pytest.approx(row, abs=1e-6) for row in rows], path


def rows_in(output: Path) -> dict[str, list[list[float]]]:
    """Return the sorted rows of each label file that has some, by its path."""
    found = {
        path: sorted([float(value) for value in line.split()] for line in content.splitlines())
        for path, content in files_of_output(output).items()
        if path.startswith("labels/")
    }
    return {path: rows for path, rows in found.items() if rows}
