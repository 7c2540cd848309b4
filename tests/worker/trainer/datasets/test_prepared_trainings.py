"""Trainings on prepared data give the numbers of trainings that prepare it themselves."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.jobs import TrainerProcess, a_job, run
from worker.trainer.datasets.arrays import write_arrays
from worker.trainer.datasets.scan import write_scan
from worker.trainer.protocol import DatasetScan

DISK = {"cache": "disk", "epochs": 1}
NO_ROOM = "there is no room."


def results(training: TrainerProcess) -> list[dict[str, str]]:
    """Return the rows of results.csv without their times."""
    text = (training.directory / "run" / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return [{name: value for name, value in row.items() if name != "time"} for row in rows]


def trained(
    dataset: Path,
    folder: Path,
    task: Task = "detect",
    *,
    scan: DatasetScan | None = None,
    without_arrays: str | None = None,
) -> TrainerProcess:
    folder.mkdir()
    job = a_job(dataset, folder, task=task, train=DISK, scan=scan, without_arrays=without_arrays)
    training = run(job, folder)
    assert training.process.exit_code == 0, training.log[-2000:]
    return training


@pytest.fixture
def dataset(drawn: Callable[[Task], Path], tmp_path: Path) -> Path:
    left_by_others = shutil.ignore_patterns("*.cache", "*.npy")
    return shutil.copytree(drawn("detect"), tmp_path / "data", ignore=left_by_others).resolve()


@pytest.fixture
def scan(dataset: Path, tmp_path: Path) -> DatasetScan:
    report = write_scan(dataset, "detect", tmp_path / "scan.npz", single_cls=False)
    return DatasetScan(path=tmp_path / "scan.npz", sha256=report.sha256)


class TestTrainingsOnPreparedData:
    def test_scan_and_arrays_change_no_number_and_no_file(
        self, dataset: Path, scan: DatasetScan, tmp_path: Path
    ) -> None:
        stock = trained(shutil.copytree(dataset, tmp_path / "stock"), tmp_path / "a")
        write_arrays(dataset, "detect")
        before = set(dataset.rglob("*"))

        prepared = trained(dataset, tmp_path / "b", scan=scan)

        assert results(prepared) == results(stock)
        assert set(dataset.rglob("*")) == before
        assert "Labels from the scan of this dataset version" in prepared.log

    @pytest.mark.slow
    def test_without_arrays_a_training_warns_and_has_the_same_numbers(
        self, dataset: Path, scan: DatasetScan, tmp_path: Path
    ) -> None:
        stock = trained(shutil.copytree(dataset, tmp_path / "stock"), tmp_path / "a")

        without = trained(dataset, tmp_path / "b", scan=scan, without_arrays=NO_ROOM)

        assert results(without) == results(stock)
        assert [event.code for event in without.of("warning")] == ["no_disk_cache"]
        assert not list(dataset.rglob("*.npy"))

    @pytest.mark.slow
    def test_a_damaged_scan_is_made_by_the_trainer_and_the_log_says_so(
        self, dataset: Path, scan: DatasetScan, tmp_path: Path
    ) -> None:
        stock = trained(shutil.copytree(dataset, tmp_path / "stock"), tmp_path / "a")
        scan.path.write_bytes(b"damaged")

        training = trained(dataset, tmp_path / "b", scan=scan)

        assert results(training) == results(stock)
        assert "its bytes have another digest: it is scanned again" in training.log
        assert not list(dataset.rglob("*.cache"))

    @pytest.mark.slow
    def test_classes_without_arrays_are_read_from_images(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        folder = shutil.copytree(
            drawn("classify"), tmp_path / "data", ignore=shutil.ignore_patterns("*.cache", "*.npy")
        ).resolve()
        stock = trained(shutil.copytree(folder, tmp_path / "stock"), tmp_path / "a", "classify")

        without = trained(folder, tmp_path / "b", "classify", without_arrays=NO_ROOM)

        assert results(without) == results(stock)
        assert not list(folder.rglob("*.npy"))
