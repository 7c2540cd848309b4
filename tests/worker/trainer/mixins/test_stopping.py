from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.jobs import a_job
from worker.trainer.events import EventPipe
from worker.trainer.interrupts import Interrupts, LeaveRequested
from worker.trainer.mixins.stopping import StopOnRequest
from worker.trainer.run import TrainingRun


class Upstream:
    """Replaces Ultralytics' trainer."""

    stop = False

    def run_callbacks(self, event: str) -> None:
        self.last = event


@pytest.fixture
def trainer(drawn: Callable[[Task], Path], tmp_path: Path) -> StopOnRequest:
    job = a_job(drawn("detect"), tmp_path)
    with (tmp_path / "events").open("wb") as events:
        pipe = EventPipe(events.fileno(), on_broken=lambda: None)
        run = TrainingRun(job, pipe, Interrupts())
        kind = type("Training", (StopOnRequest, Upstream), {"run": run})
        trainer: StopOnRequest = kind()
        pipe.close(within=None)
    return trainer


class TestStopOnRequest:
    def test_a_stop_request_finishes_with_the_epoch(self, trainer: StopOnRequest) -> None:
        trainer.run.interrupts.stop_requested = True

        trainer.run_callbacks("on_train_batch_end")
        within_the_epoch = trainer.stop
        trainer.run_callbacks("on_fit_epoch_end")

        assert (within_the_epoch, trainer.stop) == (False, True)

    def test_a_leaving_trainer_does_not_raise_again_at_teardown(
        self, trainer: StopOnRequest
    ) -> None:
        trainer.run.interrupts.leaving = True

        with pytest.raises(LeaveRequested):
            trainer.run_callbacks("on_train_batch_start")
        trainer.run_callbacks("teardown")
