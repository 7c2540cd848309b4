"""Trainings that the tests of this folder share, and a folder for Ultralytics' own files."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer import jobs
from tests.worker.trainer.drawn_datasets import draw_dataset
from tests.worker.trainer.jobs import TrainerProcess, a_job, start
from tests.worker.trainer.watching import watched_environment
from worker.trainer.environment import trainer_environment
from worker.trainer.protocol import JobFile

# Ultralytics reads these on import: tests train in this process as in a trainer process, offline
# and without writing to the home directory.
_PLACE = Path(tempfile.mkdtemp(prefix="trainyard-tests-"))
_OF_A_TRAINER = trainer_environment(_PLACE, gpu=None, base=os.environ)
os.environ.update(
    {name: value for name, value in _OF_A_TRAINER.items() if name.startswith(("YOLO_", "MPL"))}
)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Task], Path]:
    """Return a function that returns the folder of a task's drawn dataset."""
    folders: dict[Task, Path] = {}

    def folder_of(task: Task) -> Path:
        if task not in folders:
            folders[task] = draw_dataset(tmp_path_factory.mktemp(f"data-{task}"), task)
        return folders[task]

    return folder_of


@pytest.fixture(scope="session")
def finished(
    drawn: Callable[[Task], Path], tmp_path_factory: pytest.TempPathFactory
) -> TrainerProcess:
    """Run a detect job of two epochs that succeeds; watch it for sockets and integrations."""
    directory = tmp_path_factory.mktemp("finished")
    job = a_job(drawn("detect"), directory, train={"plots": True})
    running = start(job, directory, **watched_environment(directory))
    assert running.wait() == 0, running.log
    return running


@pytest.fixture(params=["warm", pytest.param("cold", marks=pytest.mark.slow)])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the trainers of a test as forks, and in `make test-slow` also as new processes."""
    monkeypatch.setattr(jobs, "default_way", lambda: request.param)


@pytest.fixture
def started() -> Iterator[Callable[..., TrainerProcess]]:
    """Yield a function that starts trainer processes, which end with the test."""
    processes: list[TrainerProcess] = []

    def start_one(job: JobFile, directory: Path) -> TrainerProcess:
        processes.append(start(job, directory))
        return processes[-1]

    yield start_one
    for each in processes:
        each.end()
