"""Jobs that continue another job's training, and the epochs in which they make mosaics."""

from pathlib import Path
from typing import Any

from tests.worker.trainer.customizations.in_process import Training, next_attempt
from worker.trainer.protocol import JobFile
from worker.trainer.run import TrainerMixin


class SeeingMosaic(TrainerMixin):
    """Records the epochs in which mosaics are made."""

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.mosaic_in: list[int] = []
        super().__init__(overrides=overrides)

    def run_callbacks(self, event: str) -> None:
        super().run_callbacks(event)
        if event == "on_train_epoch_end":
            dataset = self.train_loader.dataset
            if any(each.p > 0 for each in mosaics_in(getattr(dataset, "transforms", None))):
                self.mosaic_in.append(self.epoch + 1)


def mosaics_in(transform: object) -> list[Any]:
    name = type(transform).__name__
    inner = [*getattr(transform, "transforms", [])]
    found = [transform] if name == "Mosaic" else []
    return found + [each for part in inner for each in mosaics_in(part)]


def extended(parent: Training, directory: Path, epochs: int, *, joint: int) -> JobFile:
    """Return a job that extends another one to more epochs, as the service creates it."""
    job = next_attempt(parent, directory, epoch=joint)
    train = job.spec.train.model_copy(update={"epochs": epochs})
    changes = {
        "job_id": "job_01JABCDEFGHJKMNPQRSTVWXYZ9",
        "attempt": 1,
        "joint": joint,
        "spec": job.spec.model_copy(update={"train": train}),
    }
    return job.model_copy(update=changes)
