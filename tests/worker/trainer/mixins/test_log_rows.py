"""The log has the losses of each epoch and the results of each validation, below their headers."""

import csv
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.jobs import ARCHITECTURES, TrainerProcess, a_job, run
from worker.attempt.logs.plain_text import PlainText

COLUMNS = {
    "Box(P": "metrics/precision(B)",
    "R": "metrics/recall(B)",
    "mAP50": "metrics/mAP50(B)",
    "mAP50-95)": "metrics/mAP50-95(B)",
}

pytestmark = pytest.mark.integration


def rows_below(header: str, log: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the names of each header that begins with a word, and the cells of the next line."""
    lines = [line.split() for line in log.splitlines()]
    for names, cells in pairwise(lines):
        if names[:1] == [header]:
            yield names, cells


def epochs_of(finished: TrainerProcess) -> list[dict[str, float]]:
    with (finished.directory / "run" / "results.csv").open(encoding="utf-8") as file:
        return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


class TestLogRows:
    def test_each_epoch_has_one_row_with_the_losses_of_results_csv(
        self, finished: TrainerProcess
    ) -> None:
        epochs = epochs_of(finished)
        losses = [name for name in epochs[0] if name.startswith("train/")]

        rows = [dict(zip(*found, strict=True)) for found in rows_below("Epoch", finished.log)]

        assert [row["Epoch"] for row in rows] == ["1/2", "2/2"]
        assert [row["Size"] for row in rows] == ["64", "64"]
        assert [[float(row[name.removeprefix("train/")]) for name in losses] for row in rows] == [
            [pytest.approx(epoch[name], rel=1e-3) for name in losses] for epoch in epochs
        ]

    def test_each_validation_has_its_results_below_their_header(
        self, finished: TrainerProcess
    ) -> None:
        *of_epochs, of_best = (
            dict(zip(*found, strict=True)) for found in rows_below("Class", finished.log)
        )

        assert [row["Class"] for row in (*of_epochs, of_best)] == ["all", "all", "all"]
        assert [[float(row[name]) for name in COLUMNS] for row in of_epochs] == [
            [pytest.approx(epoch[name], rel=1e-2) for name in COLUMNS.values()]
            for epoch in epochs_of(finished)
        ]

    def test_the_log_of_a_real_training_is_plain_after_cleaning(
        self, finished: TrainerProcess
    ) -> None:
        raw = finished.log
        assert "\x1b[" in raw
        assert str(finished.directory) in raw

        shown = PlainText([finished.directory]).of(raw.encode()).decode()

        assert "\x1b" not in shown
        assert str(finished.directory) not in shown
        assert "Logging results to run\n" in shown

    @pytest.mark.slow
    @pytest.mark.parametrize("task", [task for task in ARCHITECTURES if task != "detect"])
    def test_the_rows_of_every_task_have_a_cell_for_each_column(
        self, task: Task, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        header = "classes" if task == "classify" else "Class"

        trained = run(a_job(drawn(task), tmp_path, task=task), tmp_path)

        assert trained.process.exit_code == 0, trained.log
        for first, count in (("Epoch", 2), (header, 3)):
            found = list(rows_below(first, trained.log))
            assert len(found) == count
            assert all(len(names) == len(cells) for names, cells in found)
