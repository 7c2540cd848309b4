"""A job has the losses, metrics and weights of plain Ultralytics with the same arguments."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from app.core.tasks import Task
from tests.worker.trainer.drawn_datasets import draw_dataset, remove_flip_idx
from tests.worker.trainer.jobs import TrainerProcess, a_job, run
from tests.worker.trainer.plain import train_plainly
from worker.trainer.protocol import JobFile

OTHER_TASKS = [task for task in get_args(Task) if task != "detect"]


@pytest.fixture(scope="module")
def other_jobs(
    drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[Task, JobFile]:
    return {
        task: a_job(drawn(task), tmp_path_factory.mktemp(f"ours-{task}"), task=task)
        for task in OTHER_TASKS
    }


@pytest.fixture(scope="module")
def plain_runs(
    other_jobs: dict[Task, JobFile], tmp_path_factory: pytest.TempPathFactory
) -> dict[Task, Path]:
    """Train all six in one process, as starting a process takes longer than training."""
    places = train_plainly(list(other_jobs.values()), tmp_path_factory.mktemp("plain"))
    return dict(zip(other_jobs, places, strict=True))


class TestParity:
    def test_a_detect_job_equals_the_plain_trainer_in_results_and_weights(
        self, finished: TrainerProcess, tmp_path: Path
    ) -> None:
        job = job_of(finished)

        (plain,) = train_plainly([job], tmp_path)

        assert_same_training(job.run_directory, plain)
        assert_it_trained(finished)

    @pytest.mark.slow
    def test_another_seed_gives_another_training(
        self, finished: TrainerProcess, tmp_path: Path
    ) -> None:
        job = job_of(finished)

        (plain,) = train_plainly([job], tmp_path, seed=1, plots=False)

        assert results(job.run_directory) != results(plain)
        assert differing_tensors(job.run_directory, plain)

    @pytest.mark.slow  # tests/e2e/test_parity.py checks every task, through HTTP
    @pytest.mark.parametrize("task", OTHER_TASKS)
    def test_a_job_of_any_task_equals_the_plain_trainer(
        self, task: Task, other_jobs: dict[Task, JobFile], plain_runs: dict[Task, Path]
    ) -> None:
        job = other_jobs[task]

        ours = run(job, job.run_directory.parent)

        assert ours.process.exit_code == 0, ours.log
        assert_same_training(job.run_directory, plain_runs[task])
        assert_it_trained(ours)


class TestOverriddenArguments:
    @pytest.mark.parametrize(
        ("task", "train", "facts", "shown"),
        [
            pytest.param(
                "pose",
                {"fliplr": 0.9, "flipud": 0.5},
                {"has_flip_idx": False},
                {"fliplr": 0.0, "flipud": 0.0},
                id="flips",
                marks=pytest.mark.slow,
            ),
            pytest.param(
                "detect",
                {"rect": True, "mosaic": 1.0, "cutmix": 0.5, "imgsz": 50},
                {},
                {"mosaic": 0.0, "cutmix": 0.0, "imgsz": 64},
                id="mixing",
                marks=pytest.mark.slow,
            ),
            pytest.param(
                "classify",
                {"hsv_h": 0.5, "hsv_s": 0.9},
                {},
                {"hsv_h": 0.0, "hsv_s": 0.0},
                id="policy",
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_a_job_shown_as_it_runs_equals_the_plain_trainer_with_the_values_submitted(
        self,
        task: Task,
        train: dict[str, object],
        facts: dict[str, object],
        shown: dict[str, object],
        tmp_path: Path,
    ) -> None:
        dataset = draw_dataset(tmp_path, task)
        if task == "pose":
            remove_flip_idx(dataset)
        job = a_job(dataset, tmp_path, task=task, train=train, facts=facts)

        ours = run(job, tmp_path)

        assert ours.process.exit_code == 0, ours.log
        (plain,) = train_plainly([job], tmp_path / "plain", **train)
        assert {name: getattr(job.spec.train, name) for name in shown} == shown
        assert_same_training(job.run_directory, plain)


def job_of(process: TrainerProcess) -> JobFile:
    return JobFile.model_validate_json((process.directory / "job.json").read_bytes())


def assert_it_trained(process: TrainerProcess) -> None:
    steps = [event.optimizer_steps for event in process.of("epoch")]
    assert all(each >= 4 for each in steps), steps


def assert_same_training(ours: Path, plain: Path) -> None:
    assert results(ours) == results(plain)
    assert differing_tensors(ours, plain) == []


def results(run_directory: Path) -> list[dict[str, str]]:
    with (run_directory / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: text for name, text in row.items() if name != "time"} for row in rows]


def differing_tensors(ours: Path, plain: Path) -> list[str]:
    first = state_of(ours / "final" / "best.pt")
    second = state_of(plain / "weights" / "best.pt")
    assert first.keys() == second.keys()
    return [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]


def state_of(weights: Path) -> dict[str, Any]:
    checkpoint = torch.load(weights, map_location="cpu", weights_only=False)
    return dict(checkpoint["model"].state_dict())
