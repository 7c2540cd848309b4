"""How long a training waits for its loader; Ultralytics' trainer and the clock are replaced."""

from pathlib import Path

import pytest

from tests.worker.trainer.customizations.in_process import Heard
from tests.worker.trainer.jobs import a_job
from worker.trainer.interrupts import Interrupts
from worker.trainer.mixins import loader_wait
from worker.trainer.mixins.loader_wait import LoaderWait
from worker.trainer.run import TrainerMixin, TrainingRun


class Clock:
    """Replaces `time`; the test lets its seconds pass."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


class Upstream:
    """Replaces Ultralytics' trainer."""

    def __init__(self, overrides: dict[str, object]) -> None:
        assert overrides == {}

    def run_callbacks(self, event: str) -> None:
        self.last = event

    def _model_train(self) -> None:
        self.is_training = True


class Slow(TrainerMixin):
    """Takes ten seconds before and after each batch, as a class of ours might."""

    clock: Clock

    def hook_before_batch(self) -> None:
        self.clock.passes(10)
        super().hook_before_batch()

    def hook_after_batch(self) -> None:
        super().hook_after_batch()
        self.clock.passes(10)


class Loop:
    """The loop of an epoch, as far as it concerns the loader."""

    def __init__(self, trainer: LoaderWait, clock: Clock) -> None:
        self.trainer, self._clock = trainer, clock

    def epoch(self, *waits: float) -> None:
        self.trainer.run_callbacks("on_train_epoch_start")
        self._clock.passes(10)
        self.trainer._model_train()
        for seconds in waits:
            self._clock.passes(seconds)
            self.trainer.run_callbacks("on_train_batch_start")
            self._clock.passes(10)
            self.trainer.run_callbacks("on_train_batch_end")
        self._clock.passes(10)


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
    clock = Clock()
    monkeypatch.setattr(loader_wait, "time", clock)
    run = TrainingRun(a_job(tmp_path, tmp_path), Heard(), Interrupts())
    parts = (LoaderWait, Slow, Upstream)
    trainer: LoaderWait = type("Training", parts, {"run": run, "clock": clock})(overrides={})
    return Loop(trainer, clock)


class TestLoaderWait:
    def test_only_the_time_until_each_batch_is_there_counts(self, loop: Loop) -> None:
        loop.epoch(3.0, 0.5, 0.25)

        assert loop.trainer.loader_wait_seconds == 3.75

    def test_every_epoch_counts_anew(self, loop: Loop) -> None:
        loop.epoch(3.0, 0.5)
        loop.epoch(0.125)

        assert loop.trainer.loader_wait_seconds == 0.125
