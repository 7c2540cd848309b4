"""A trainer process leaves on request: at once, resumable, and without leftover processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from app.core.tasks import Task
from app.jobs.end_reasons import EndReason
from tests.waiting import eventually
from tests.worker.trainer.drawn_datasets import draw_dataset
from tests.worker.trainer.jobs import TrainerProcess, a_job
from worker.trainer.environment import trainer_environment
from worker.trainer.protocol import EVENTS_FD_VARIABLE, NO_STATE_FILE
from worker.trainer.state.file import read_state

Start = Callable[..., TrainerProcess]
Drawn = Callable[[Task], Path]
LONG = {"epochs": 99}

pytestmark = pytest.mark.usefixtures("both_ways")


class TestCancel:
    @pytest.mark.parametrize("phase", ["preparing", "training", "validating", "finalizing"])
    def test_a_cancelled_trainer_leaves_from_any_phase_with_its_code_and_no_process(
        self, phase: str, drawn: Drawn, started: Start, tmp_path: Path
    ) -> None:
        train = {"epochs": 1} if phase == "finalizing" else LONG
        ours = started(a_job(drawn("detect"), tmp_path, train=train), tmp_path)
        eventually(lambda: entered(ours, phase), within=60)

        os.kill(ours.process.pid, signal.SIGTERM)

        assert ours.wait(10) == EndReason.TRAINER_KILLED.exit_code, ours.log
        assert ours.of("final") == []
        assert processes_of_session(ours) == []

    def test_a_cancelled_trainer_leaves_while_labels_are_read(
        self, started: Start, tmp_path: Path
    ) -> None:
        dataset = draw_dataset(tmp_path, "detect")
        multiply(dataset, copies=1500)
        ours = started(a_job(dataset, tmp_path), tmp_path)
        eventually(lambda: "summary:" in ours.log, within=60)

        os.kill(ours.process.pid, signal.SIGTERM)

        assert ours.wait(10) == EndReason.TRAINER_KILLED.exit_code, ours.log
        assert not list(dataset.rglob("*.cache")), "the labels had been read already"

    def test_a_trainer_that_leaves_hands_over_the_state_of_the_epoch_that_it_reported_last(
        self, drawn: Drawn, started: Start, tmp_path: Path
    ) -> None:
        job = a_job(drawn("detect"), tmp_path, train=LONG, state_every=1000)
        ours = started(job, tmp_path)
        eventually(lambda: ours.of("checkpoint"), within=60)

        os.kill(ours.process.pid, signal.SIGTERM)

        assert ours.wait(30) == EndReason.TRAINER_KILLED.exit_code, ours.log
        (state,) = ours.of("state")
        checkpoint = ours.of("checkpoint")[-1]
        header, _ = read_state(job.run_directory / state.file)
        last = torch.load(job.run_directory / checkpoint.files["last.pt"], weights_only=False)
        assert state.epoch == checkpoint.epoch == header.epoch == last["epoch"] + 1

    def test_a_trainer_of_a_cancelled_job_leaves_without_writing_a_state(
        self, drawn: Drawn, started: Start, tmp_path: Path
    ) -> None:
        job = a_job(drawn("detect"), tmp_path, train=LONG, state_every=1000)
        ours = started(job, tmp_path)
        eventually(lambda: ours.of("checkpoint"), within=60)

        (job.run_directory / NO_STATE_FILE).touch()
        os.kill(ours.process.pid, signal.SIGTERM)

        assert ours.wait(10) == EndReason.TRAINER_KILLED.exit_code, ours.log
        assert ours.of("state") == []


class TestFinishEarly:
    def test_a_trainer_that_finishes_early_completes_the_epoch_and_finalizes(
        self, drawn: Drawn, started: Start, tmp_path: Path
    ) -> None:
        ours = started(a_job(drawn("detect"), tmp_path, train=LONG), tmp_path)
        eventually(lambda: entered(ours, "training"), within=60)

        os.kill(ours.process.pid, signal.SIGUSR1)

        assert ours.wait() == EndReason.SUCCEEDED.exit_code, ours.log
        epochs = ours.of("epoch")
        assert [event.epoch for event in epochs] == list(range(1, len(epochs) + 1))
        assert len(epochs) < 5
        assert all(event.optimizer_steps == 5 for event in epochs)
        assert ours.of("final")[0].epochs_done == len(epochs)


class TestSupervisorGone:
    def test_a_trainer_leaves_when_nobody_reads_its_events(
        self, drawn: Drawn, started: Start, tmp_path: Path
    ) -> None:
        ours = started(a_job(drawn("detect"), tmp_path, train=LONG), tmp_path)
        eventually(lambda: entered(ours, "training"), within=60)

        ours.stop_reading()

        assert ours.process.wait(30) == EndReason.WORKER_LOST.exit_code, ours.log

    def test_a_trainer_dies_with_its_parent(self, drawn: Drawn, tmp_path: Path) -> None:
        job = a_job(drawn("detect"), tmp_path, train=LONG)
        (tmp_path / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
        environment = trainer_environment(tmp_path, gpu=None, base=os.environ)
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(tmp_path / "job.json")],
            env=environment | {EVENTS_FD_VARIABLE: "1"},
            stdout=subprocess.PIPE,
            cwd=job.run_directory,
            start_new_session=True,
        )
        assert parent.stdout is not None
        trainer = psutil.Process(int(parent.stdout.readline()))
        parent.stdout.readline()  # its first event: it has already set its death signal

        parent.kill()
        parent.wait()

        gone = [*psutil.wait_procs([trainer], timeout=10)[0]]
        parent.stdout.close()
        assert gone == [trainer]


PARENT = """
import subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-m", "worker.trainer", sys.argv[1]])
print(child.pid, flush=True)
child.wait()
"""


def entered(process: TrainerProcess, phase: str) -> bool:
    return any(event.phase == phase for event in process.of("phase"))


def processes_of_session(process: TrainerProcess) -> list[int]:
    return [
        each.pid
        for each in psutil.process_iter()
        if each.pid != os.getpid() and session_of(each.pid) == process.process.pid
    ]


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def multiply(dataset: Path, *, copies: int) -> None:
    """Link the first training image and its label under this number of additional names."""
    for file in [
        next(dataset.glob("images/train/*.png")),
        next(dataset.glob("labels/train/*.txt")),
    ]:
        for number in range(copies):
            file.with_name(f"copy{number:05d}{file.suffix}").hardlink_to(file)
