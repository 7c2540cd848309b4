"""Plots of training batches are results of a job, whichever attempt drew them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.worker.trainer.customizations.in_process import Training, next_attempt, train_here
from tests.worker.trainer.jobs import a_job
from worker.trainer.protocol import ArchitectureSource

SMALL = ArchitectureSource(name="yolov8n.yaml")
OF_THE_FIRST_EPOCH = {f"train_batch{number}.jpg" for number in (0, 1, 2)}


def batch_plots_of(training: Training) -> dict[str, bytes]:
    """Return the plots of training batches among the artifacts."""
    (final,) = training.of("final")
    files = {each.name: training.directory / each.path for each in final.artifacts}
    return {
        name: file.read_bytes() for name, file in files.items() if name.startswith("train_batch")
    }


class TestBatchPlots:
    @pytest.mark.slow
    def test_a_resumed_training_has_the_plots_that_its_first_attempt_drew(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        train = {"epochs": 2, "imgsz": 32, "plots": True, "close_mosaic": 0}
        facts = {"architecture": SMALL.name}
        job = a_job(drawn("detect"), tmp_path, train=train, model=SMALL, facts=facts, state_every=1)
        whole = train_here(job)

        resumed = train_here(next_attempt(whole, tmp_path / "resumed", epoch=1))

        handed = whole.of("checkpoint")
        assert [OF_THE_FIRST_EPOCH & each.files.keys() for each in handed] == [
            OF_THE_FIRST_EPOCH,
            set(),
        ]
        assert batch_plots_of(whole).keys() == OF_THE_FIRST_EPOCH
        assert batch_plots_of(resumed) == batch_plots_of(whole)
