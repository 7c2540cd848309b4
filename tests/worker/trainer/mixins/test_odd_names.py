"""Names of classes and folders that mean something to a library do not end a training."""

from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.drawn_datasets import draw_dataset
from tests.worker.trainer.jobs import a_job, run

FORMULA = "$a^b^c$"  # matplotlib refuses two superscripts
NAMES: dict[Task, tuple[str, ...]] = {
    "detect": (FORMULA, "%s%n{0.__class__}", "=cmd|'/c calc'!A1"),
    "classify": (FORMULA, "-rf ~", "c.cache"),
}


def move_into(folder: Path, name: str) -> None:
    """Move the files of a folder into a new folder inside it."""
    files = list(folder.iterdir())
    (folder / name).mkdir()
    for file in files:
        file.rename(folder / name / file.name)


class TestOddNames:
    @pytest.mark.slow
    @pytest.mark.parametrize("task", NAMES)
    def test_a_training_with_odd_names_of_classes_and_folders_ends_with_its_plots(
        self, task: Task, tmp_path: Path
    ) -> None:
        dataset = draw_dataset(tmp_path, task, classes=NAMES[task])
        if task == "detect":  # Ultralytics' cache of labels has the name of such a folder
            for split in ("train", "val"):
                move_into(dataset / "images" / split, f"{split}.cache")
                move_into(dataset / "labels" / split, f"{split}.cache")

        ours = run(
            a_job(dataset, tmp_path, task=task, train={"epochs": 1, "plots": True}), tmp_path
        )

        assert ours.process.exit_code == 0, ours.log
        (final,) = ours.of("final")
        assert "confusion_matrix.png" in {artifact.name for artifact in final.artifacts}
