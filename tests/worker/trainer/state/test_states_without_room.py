"""A disk with room for checkpoints but not for the training state."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.tasks import Task
from tests.faults.small_disk import small_disk
from tests.worker.trainer.customizations.in_process import train_here
from tests.worker.trainer.jobs import a_job
from worker.trainer.protocol import ArchitectureSource

SMALL = ArchitectureSource(name="yolov8n.yaml")
MEBIBYTES = 44
"""last.pt and best.pt are one file of 12 MB, and two while they are finalized; a state has 36."""

pytestmark = pytest.mark.faults


@pytest.mark.slow
def test_a_job_ends_without_the_state_that_finds_no_room_and_says_so(
    drawn: Callable[[Task], Path], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "run", mebibytes=MEBIBYTES):
        train = {"epochs": 1, "imgsz": 32}
        job = a_job(drawn("detect"), tmp_path, train=train, model=SMALL, state_every=1)

        trained = train_here(job)

        left = sorted(file.name for file in (tmp_path / "run" / "weights").iterdir())
    assert left == ["best.pt", "last.pt"]
    assert [event.code for event in trained.of("warning")] == ["state_not_written"]
    assert ["state.pt" in event.files for event in trained.of("checkpoint")] == [False]
    assert trained.of("final")[0].epochs_done == 1
