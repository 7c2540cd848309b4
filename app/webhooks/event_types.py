"""The events that a webhook can ask for."""

from collections.abc import Iterable
from enum import StrEnum

_ALL = "*"


class EventChoice(StrEnum):
    """A type of event, or the beginning of several: `job.*` is every event of jobs, `*` all."""

    EVERYTHING = "*"
    JOB = "job.*"
    JOB_SUBMITTED = "job.submitted"
    JOB_STARTED = "job.started"
    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_PAUSED = "job.paused"
    JOB_RESUMED = "job.resumed"
    JOB_RETRIED = "job.retried"
    JOB_REQUEUED = "job.requeued"
    JOB_BATCH_HALVED = "job.batch_halved"
    JOB_CHANGED = "job.changed"
    JOB_CANCEL_REQUESTED = "job.cancel_requested"
    JOB_PAUSE_REQUESTED = "job.pause_requested"
    JOB_PAUSE_WITHDRAWN = "job.pause_withdrawn"
    JOB_STOP_REQUESTED = "job.stop_requested"
    JOB_TRASHED = "job.trashed"
    JOB_RESTORED = "job.restored"
    EPOCH = "epoch.*"
    EPOCH_FINISHED = "epoch.finished"
    EPOCHS_DROPPED = "epochs.dropped"
    TRAINER = "trainer.*"
    TRAINER_STARTED = "trainer.started"
    TRAINER_FINISHED = "trainer.finished"
    TRAINER_NOTICE = "trainer.notice"
    TRAINER_WARNING = "trainer.warning"
    RESUME = "resume.*"
    CHECKPOINT = "checkpoint.*"
    CHECKPOINT_DAMAGED = "checkpoint.damaged"
    DATASET = "dataset.*"
    DATASET_VALIDATING = "dataset.validating"
    DATASET_READY = "dataset.ready"
    DATASET_INVALID = "dataset.invalid"
    DATASET_REMOVED = "dataset.removed"

    def includes(self, type_: str) -> bool:
        """Return whether an event of this type is chosen."""
        return type_.startswith(self.value[:-1]) if self.value.endswith(_ALL) else type_ == self


def is_chosen(type_: str, choices: Iterable[str]) -> bool:
    """Return whether an event of this type is chosen by any of the stored choices."""
    return any(EventChoice(choice).includes(type_) for choice in choices)
