"""Running out of memory without a GPU: a test raises the error of a GPU's allocator.

Ultralytics itself would silently halve the batch; in Trainyard the attempt always ends.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from app.core.tasks import Task
from app.jobs.end_reasons import EndReason
from tests.worker.trainer.customizations.in_process import next_attempt, train_here
from tests.worker.trainer.jobs import a_job
from worker.trainer.compose import overrides
from worker.trainer.errors import diagnose
from worker.trainer.protocol import JobFile
from worker.trainer.upstream import TaskTrainer

TOO_MUCH = "CUDA out of memory. Tried to allocate 2.00 GiB."


class GpuWithoutRoom(TaskTrainer):
    """Raises the error of a first batch that does not fit into a GPU, once, without a GPU."""

    full_in_epoch = 0
    batches_seen: list[int]

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.batches_seen.append(self.batch_size)
        if self.epoch == self.full_in_epoch and self.batches_seen.count(-1) == 0:
            self.batches_seen.append(-1)
            raise torch.OutOfMemoryError(TOO_MUCH)
        return super().preprocess_batch(batch)


def full_in(epoch: int) -> type[GpuWithoutRoom]:
    return type("GpuWithoutRoom", (GpuWithoutRoom,), {"full_in_epoch": epoch, "batches_seen": []})


class TestNoHalvingInSilence:
    @pytest.mark.parametrize("epoch", [0, 1], ids=["first-epoch", "later"])
    def test_the_attempt_ends_at_once_with_the_batch_untouched(
        self, drawn: Callable[[Task], Path], tmp_path: Path, epoch: int
    ) -> None:
        gpu = full_in(epoch)

        with pytest.raises(torch.OutOfMemoryError) as raised:
            train_here(a_job(drawn("detect"), tmp_path), watching=(gpu,))

        assert diagnose(raised.value).reason is EndReason.OUT_OF_MEMORY
        assert gpu.batches_seen[-1] == -1, "no batch came after the one that did not fit"
        assert set(gpu.batches_seen) == {4, -1}


class TestHalvedBatch:
    @pytest.mark.slow
    def test_a_resume_goes_on_with_half_the_batch(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        first = train_here(a_job(drawn("detect"), tmp_path / "first"))

        second = train_here(halved(next_attempt(first, tmp_path / "second", epoch=1)))

        (before,), (after,) = first.of("started"), second.of("started")
        assert (before.batch_size, after.batch_size) == (4, 2)
        assert after.batches_per_epoch == 9
        assert [event.epoch for event in second.of("epoch")] == [2]
        second.assert_it_trained()

    def test_a_batch_that_ultralytics_chose_stays_as_the_checkpoint_has_it(
        self, tmp_path: Path
    ) -> None:
        job = a_job(tmp_path, tmp_path, train={"batch": -1})

        resumed = job.model_copy(update={"resume_from": tmp_path / "last.pt"})

        assert "batch" not in overrides(resumed)


def halved(job: JobFile) -> JobFile:
    train = job.spec.train.model_copy(update={"batch": 2})
    return job.model_copy(update={"spec": job.spec.model_copy(update={"train": train})})
