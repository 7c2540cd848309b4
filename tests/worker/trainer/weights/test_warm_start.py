import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.drawn_datasets import CLASSES, draw_dataset
from tests.worker.trainer.jobs import TrainerProcess, a_job, weights
from worker.trainer.environment import trainer_environment
from worker.trainer.protocol import JobFile

REPOSITORY = Path(__file__).parents[4]
# The class outputs of YOLO26's two heads; no other tensor depends on the classes.
OF_CLASSES = ("model.23.cv3.", "model.23.one2one_cv3.")


class TestWarmStart:
    def test_a_warm_start_with_the_same_classes_takes_every_tensor_of_the_weights(
        self, finished: TrainerProcess, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        best = best_of(finished)
        job = a_job(drawn("detect"), tmp_path, model=weights(best))

        groups = compare_before_the_first_step(job, best, tmp_path)

        assert (groups["changed"], groups["reshaped"]) == ([], [])
        assert len(groups["equal"]) > 300

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "classes",
        [("square", "star"), (*CLASSES, "star")],
        ids=["fewer-and-others", "one-more"],
    )
    def test_a_warm_start_with_other_classes_takes_all_but_the_class_outputs(
        self, classes: Sequence[str], finished: TrainerProcess, tmp_path: Path
    ) -> None:
        best = best_of(finished)
        dataset = draw_dataset(tmp_path, "detect", classes=classes)
        job = a_job(dataset, tmp_path, model=weights(best))

        groups = compare_before_the_first_step(job, best, tmp_path)

        differing = groups["changed"] + groups["reshaped"]
        assert groups["reshaped"]
        assert all(name.startswith(OF_CLASSES) for name in differing), differing
        assert len(groups["equal"]) > 300

    @pytest.mark.slow
    def test_a_start_from_scratch_has_other_tensors(
        self, finished: TrainerProcess, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_job(drawn("detect"), tmp_path, train={"seed": 1})

        groups = compare_before_the_first_step(job, best_of(finished), tmp_path)

        assert len([name for name in groups["changed"] if name.endswith("conv.weight")]) > 50


def best_of(process: TrainerProcess) -> Path:
    return process.directory / "run" / "final" / "best.pt"


def compare_before_the_first_step(
    job: JobFile, best: Path, directory: Path
) -> dict[str, list[str]]:
    (directory / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
    environment = trainer_environment(directory, gpu=None, base=os.environ)
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("warm_start.py")),
            str(directory / "job.json"),
            str(best),
        ],
        env=environment | {"PYTHONPATH": str(REPOSITORY)},
        cwd=job.run_directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    groups: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return groups
