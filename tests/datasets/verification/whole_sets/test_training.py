"""What verifies as ready trains with plain Ultralytics, on every image that the report counts."""

from math import isfinite
from pathlib import Path
from typing import Any

import pytest

from app.core.tasks import Task
from app.datasets.packs.extract import materialise_view
from app.datasets.reports.report import ImportOptions, Report, VerificationRequest
from app.datasets.verification.verify import verify
from tests.datasets.builders import ZIPS
from tests.datasets.first_try import EXPECTED, names_with, verdict_on
from tests.datasets.oracle import Oracle
from tests.datasets.outputs import extract_output
from tests.datasets.trainings import train

READY = names_with("ready")
FIRST_OF_TASK = {task: name for name in reversed(READY) if (task := EXPECTED[name]["task"])}


def quick(name: str) -> Any:  # noqa: ANN401 -- pytest's own type of a parameter is private
    """Return the name as a parameter, slow unless it is the first archive of its task."""
    marks = () if name in FIRST_OF_TASK.values() else (pytest.mark.slow,)
    return pytest.param(name, marks=marks)


def assert_trains(oracle: Oracle, report: Report, folder: Path) -> None:
    assert report.state == "ready", report.findings
    assert report.task is not None
    extract_output(folder, folder / "root")
    data = materialise_view(folder / "root", folder / "view")

    trained = train(oracle, report.task, data, folder)

    assert trained.images == {split: report.splits[split].images for split in ("train", "val")}
    assert all(isfinite(value) for value in trained.epochs[0].values()), trained.epochs


class TestTraining:
    @pytest.mark.parametrize("name", [quick(name) for name in READY])
    def test_an_archive_that_is_ready_trains(
        self, name: str, oracle: Oracle, tmp_path: Path
    ) -> None:
        assert_trains(oracle, verdict_on(name, tmp_path), tmp_path)

    @pytest.mark.parametrize("task", sorted(ZIPS.keys() - FIRST_OF_TASK.keys()))
    def test_a_drawn_dataset_of_any_other_task_trains(
        self, task: Task, oracle: Oracle, tmp_path: Path
    ) -> None:
        archive = ZIPS[task](tmp_path / "upload.zip", train=4, val=2)
        options = ImportOptions(task=task)

        report = verify(VerificationRequest(archive=archive, output=tmp_path, options=options))

        assert_trains(oracle, report, tmp_path)
