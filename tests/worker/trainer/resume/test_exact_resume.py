"""From its training state on, an interrupted training equals the uninterrupted one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import Training, next_attempt, train_here
from tests.worker.trainer.jobs import a_job
from tests.worker.trainer.resume.exactness import differences, first_difference
from tests.worker.trainer.resume.resume_cases import CASES, job_of, trained
from worker.trainer.interrupts import Interrupts
from worker.trainer.protocol import STORING_SECONDS_FILE, ArchitectureSource, JobFile
from worker.trainer.run import TrainerMixin

IN_EVERY_RUN = {"yolov8n"}
"""It has loader workers; tests/worker/trainer/resume/test_killed.py goes without."""
MARKED = [
    name if name in IN_EVERY_RUN else pytest.param(name, marks=pytest.mark.slow) for name in CASES
]


class TestEveryCase:
    @pytest.mark.timeout(900)  # MuSGD takes minutes on a slow processor
    @pytest.mark.parametrize("name", MARKED)
    def test_a_resumed_training_is_the_one_that_was_not_interrupted(
        self, name: str, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        case = CASES[name]
        whole = trained(job_of(case, drawn(case.task), tmp_path / "whole"), case)

        attempts = [whole]
        for epoch in case.kills:
            job = next_attempt(attempts[-1], tmp_path / f"from-{epoch}", epoch=epoch)
            attempts.append(trained(job, case))

        assert whole.trainer.train_loader.num_workers == case.workers
        for each in attempts[1:]:
            assert [event.mode for event in each.of("resumed")] == ["exact"], each.of("resumed")
            assert first_difference(whole.trainer.trace, each.trainer.trace) is None
            assert differences(whole.directory, each.directory) == []
            assert told(each) == told(whole)[-len(told(each)) :]


def told(training: Training) -> list[dict[str, object]]:
    """Return the reports of the epochs, without durations and estimates of them."""
    return [
        event.model_dump(exclude={"seq", "at", "seconds", "eta_seconds", "loader_wait_seconds"})
        for event in training.of("epoch")
    ]


def a_small_job(
    dataset: Path, directory: Path, *, epochs: int, every: int | None = None
) -> JobFile:
    """Return a job of short epochs; a state is due every N epochs, or when it costs little."""
    model = ArchitectureSource(name="yolov8n.yaml")
    train = {"epochs": epochs, "imgsz": 32}
    return a_job(dataset, directory, train=train, model=model, state_every=every)


class TestLastEpoch:
    def test_the_last_epoch_of_a_stopped_job_leaves_a_state_whatever_the_period(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_small_job(drawn("detect"), tmp_path, epochs=9, every=7)

        stopped = train_here(job, interrupts=Interrupts(stop_requested=True))

        assert ["state.pt" in event.files for event in stopped.of("checkpoint")] == [True]

    def test_the_last_epoch_has_a_state_as_the_first_one_where_epochs_are_short(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_small_job(drawn("detect"), tmp_path, epochs=3)

        run = train_here(job)

        handed = run.of("checkpoint")
        assert [event.state_follows for event in handed] == [False, False, False]
        assert ["state.pt" in event.files for event in handed] == [True, False, True]
        assert run.of("state") == []


class Supervised(TrainerMixin):
    """Reports the storing time as the supervisor does, and records whether it was read."""

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.was_read: list[bool] = []
        super().__init__(overrides=overrides)

    def run_callbacks(self, event: str) -> None:
        super().run_callbacks(event)
        if event == "on_fit_epoch_end" and not self.finalizing:
            told = Path(self.save_dir) / STORING_SECONDS_FILE
            self.was_read.append(not told.exists())
            if self.state_follows:
                told.write_text("0.5")


class TestPeriod:
    @pytest.mark.slow
    def test_the_period_counts_the_storing_time_that_the_supervisor_reports(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        job = a_small_job(drawn("detect"), tmp_path, epochs=3)

        run = train_here(job, watching=(Supervised,))

        assert run.trainer.was_read == [True, True, True]
