"""What a training reports about its remaining epochs and time; Ultralytics' trainer is replaced."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import Heard, train_here
from tests.worker.trainer.jobs import a_job
from worker.trainer.interrupts import Interrupts
from worker.trainer.mixins import reporting
from worker.trainer.mixins.reporting import Reporting
from worker.trainer.protocol import BatchEvent, EpochEvent
from worker.trainer.run import TrainingRun

BATCHES = 5
BATCH_SECONDS = 2.0
EPOCHS = 10


class Upstream:
    """Replaces Ultralytics' trainer in its third epoch."""

    def __init__(self, overrides: dict[str, object]) -> None:
        assert overrides == {}
        self.epoch, self.epochs, self.stop = 2, EPOCHS, False
        self.args = SimpleNamespace(time=None)
        self.train_loader = range(BATCHES)
        self.train_time_start = 0.0
        self.tloss: dict[str, float] = {}
        self.fitness = self.best_fitness = 0.5
        self.epoch_time = 10.0

    def run_callbacks(self, event: str) -> None:
        self.last = event


class Clock:
    """Replaces `time`: each batch takes two seconds."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += BATCH_SECONDS
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reporting, "time", clock)
    return clock


@pytest.fixture
def trainer(tmp_path: Path, clock: Clock) -> Reporting:
    """A trainer in the second epoch that it trains, one of whose five batches is done."""
    run = TrainingRun(a_job(tmp_path, tmp_path), Heard(), Interrupts())
    trainer: Reporting = type("Training", (Reporting, Upstream), {"run": run})(overrides={})
    trainer.epoch -= 1
    for event in ("on_train_epoch_start", "on_train_batch_end", "on_fit_epoch_end"):
        trainer.run_callbacks(event)
    trainer.epoch += 1
    trainer.run_callbacks("on_train_epoch_start")
    trainer.run_callbacks("on_train_batch_end")
    assert clock.now > 0
    return trainer


def after_a_batch(trainer: Reporting) -> BatchEvent:
    trainer.run_callbacks("on_train_batch_end")
    return cast("BatchEvent", cast("Heard", trainer.run.pipe).events[-1])


def after_the_epoch(trainer: Reporting) -> EpochEvent:
    trainer.run_callbacks("on_fit_epoch_end")
    return cast("EpochEvent", cast("Heard", trainer.run.pipe).events[-1])


class TestBatches:
    def test_the_remaining_time_is_that_of_all_epochs_that_are_left(
        self, trainer: Reporting
    ) -> None:
        event = after_a_batch(trainer)

        left = 3 + (EPOCHS - 3) * BATCHES
        assert (event.epoch, event.epochs, event.batch) == (3, EPOCHS, 2)
        assert event.eta_seconds == left * BATCH_SECONDS

    def test_a_stop_request_makes_the_current_epoch_the_last_one(self, trainer: Reporting) -> None:
        trainer.run.interrupts.stop_requested = True

        event = after_a_batch(trainer)

        assert (event.epochs, event.eta_seconds) == (3, 3 * BATCH_SECONDS)

    def test_the_remaining_time_is_at_most_the_rest_of_the_time_budget(
        self, trainer: Reporting, clock: Clock
    ) -> None:
        trainer.args.time = 36 / 3600

        event = after_a_batch(trainer)

        assert event.epochs == EPOCHS
        assert event.eta_seconds == pytest.approx(36 - clock.now)

    def test_no_remaining_time_is_estimated_in_the_first_epoch_of_an_attempt(
        self, trainer: Reporting
    ) -> None:
        run = trainer.run
        resumed: Reporting = type("Training", (Reporting, Upstream), {"run": run})(overrides={})
        resumed.run_callbacks("on_train_epoch_start")

        assert after_a_batch(resumed).eta_seconds is None

    def test_no_time_remains_of_a_budget_that_is_spent(self, trainer: Reporting) -> None:
        trainer.args.time = 1 / 3600

        assert after_a_batch(trainer).eta_seconds == 0.0


class TestEpochs:
    def test_an_epoch_has_the_remaining_time_at_its_end(self, trainer: Reporting) -> None:
        event = after_the_epoch(trainer)

        assert (event.epoch, event.epochs) == (3, EPOCHS)
        assert event.eta_seconds == (EPOCHS - 3) * BATCHES * BATCH_SECONDS

    def test_the_epoch_in_which_a_training_stops_is_the_last_one(self, trainer: Reporting) -> None:
        trainer.stop = True

        event = after_the_epoch(trainer)

        assert (event.epochs, event.eta_seconds) == (3, None)

    def test_an_estimate_that_is_already_over_leaves_one_more_epoch(
        self, trainer: Reporting
    ) -> None:
        trainer.epochs = 3

        event = after_the_epoch(trainer)

        assert (event.epochs, event.eta_seconds) == (4, BATCHES * BATCH_SECONDS)


class TestRealTraining:
    @pytest.mark.slow
    def test_a_training_with_a_time_budget_ends_with_the_epoch_in_which_it_is_spent(
        self, drawn: Callable[[Task], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reporting, "SECONDS_BETWEEN_BATCH_EVENTS", 0.0)
        seconds = 4.0
        job = a_job(drawn("detect"), tmp_path, train={"epochs": 100, "time": seconds / 3600})

        training = train_here(job)

        epochs = training.of("epoch")
        phases = [event.epochs_done for event in training.of("phase") if event.epochs_done]
        estimates = [event.eta_seconds for event in training.of("batch")]
        assert max(each for each in estimates if each is not None) <= seconds
        assert (epochs[-1].epoch, epochs[-1].eta_seconds) == (epochs[-1].epochs, None)
        assert phases == [len(epochs)]
        assert len(epochs) < 100
