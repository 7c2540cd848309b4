"""A cancel ends every process of a real trainer: loader workers, children and runaways."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from app.core.tasks import Task
from app.jobs.end_reasons import EndReason
from app.jobs.spec.job_spec import TrainerChoice
from tests.plugins import write_plugin
from tests.waiting import eventually
from tests.worker.trainer.jobs import a_job
from worker.processes.process import Command, NewProcess, living_processes
from worker.trainer.environment import trainer_environment
from worker.trainer.protocol import JobFile

LOADER_WORKERS = 2
CHILDREN = 2
ALL = 1 + LOADER_WORKERS + CHILDREN

# Ultralytics sets `workers` to 0 on a CPU when it builds the trainer (trainer.py:185).
LARGE_FAMILY = f"""
import subprocess, sys

from worker.trainer.plugins import TrainerPlugin

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"


class LargeFamily:
    def get_dataloader(self, *arguments, **options):
        self.args.workers = {LOADER_WORKERS}
        return super().get_dataloader(*arguments, **options)

    def _setup_train(self, *arguments, **options):
        for runs_away in (False, True):
            subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=runs_away)
        return super()._setup_train(*arguments, **options)


class Plugin(TrainerPlugin):
    mixins = (LargeFamily,)
"""


@contextmanager
def training(job: JobFile, directory: Path) -> Iterator[tuple[NewProcess, str, Path]]:
    """Start a real trainer as a worker does; yield the process, the attempt, and its log."""
    packages = write_plugin(directory / "packages", LARGE_FAMILY)
    (directory / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
    base = {**os.environ, "PYTHONPATH": str(packages)}
    environment = trainer_environment(directory, gpu=None, base=base)
    attempt, log = f"job_{uuid4().hex}-1", directory / "train.log"
    argv = [sys.executable, "-m", "worker.trainer", str(directory / "job.json")]
    command = Command(argv, environment, job.run_directory, attempt)
    with log.open("wb") as output, NewProcess(command, output) as process:
        yield process, attempt, log


def family(attempt: str, session: int) -> set[int]:
    return set(living_processes(attempt, session=session))


@pytest.mark.parametrize(
    ("phase", "epochs"), [("training", 99), pytest.param("finalizing", 1, marks=pytest.mark.slow)]
)
@pytest.mark.slow
def test_no_loader_worker_and_no_runaway_outlives_a_cancel(
    drawn: Callable[[Task], Path], tmp_path: Path, phase: str, epochs: int
) -> None:
    job = a_job(drawn("detect"), tmp_path, train={"epochs": epochs})
    choice = TrainerChoice.model_validate({"name": "mine", "options": {}})
    job = job.model_copy(update={"spec": job.spec.model_copy(update={"trainer": choice})})

    with training(job, tmp_path) as (process, attempt, log):
        eventually(
            lambda: f'"phase": "{phase}"' in log.read_text(),
            within=120,
            message=lambda: log.read_text()[-2000:],
        )
        eventually(lambda: len(family(attempt, process.pid)) >= ALL, within=20)
        process.request_leave()
        code = process.wait(20)
        stubborn = family(attempt, process.pid)

    assert (code, len(stubborn)) == (EndReason.TRAINER_KILLED.exit_code, CHILDREN)
    assert family(attempt, process.pid) == set()
