"""Limits of what one trainer may say, so that a hostile one fills neither database nor disk."""

from typing import Final

from app.core.logging import get_logger
from app.jobs.end_reasons import EndReason
from worker.attempt.claimed import AttemptFailed
from worker.trainer.field_types import MOST_CHECKPOINT_FILES
from worker.trainer.protocol import (
    CheckpointEvent,
    EpochEvent,
    NoticeEvent,
    ResumedEvent,
    StartedEvent,
    StateEvent,
    TrainerEvent,
    WarningEvent,
)

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
MOST_INVALID_LINES: Final = 100
LOGGED_INVALID_LINES: Final = 5
MOST_NOTES: Final = 1000
"""Events of an attempt that each add a row to the job's event log."""
LAST_EPOCH: Final = 100_000
"""The most epochs that a spec can have."""

log = get_logger(__name__)


class EventLimits:
    """Counts the events of one attempt. The reader and the writer of the pipe each have their own.

    All methods raise `AttemptFailed` with `trainer_bug` where the trainer breaks the protocol.
    """

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._invalid_lines = 0
        self._notes = 0
        self._newest: dict[type, int] = {}
        self._names: set[str] = set()

    def check_length(self, line: bytes) -> None:
        """Check that a line has ended before the longest piece that is read at once."""
        if len(line) >= MAX_LINE_BYTES:
            raise _broken(f"It sent a line of {len(line)} bytes.")

    def count_invalid_line(self, error: Exception) -> None:
        """Count a line that is no event; log the first ones."""
        self._invalid_lines += 1
        if self._invalid_lines <= LOGGED_INVALID_LINES:
            log.warning("trainer.invalid_event", job_id=self._job_id, error=str(error)[:500])
        if self._invalid_lines > MOST_INVALID_LINES:
            raise _broken(f"It sent more than {MOST_INVALID_LINES} lines that are no events.")

    def allows(self, event: TrainerEvent) -> bool:
        """Return whether an event is to be written; one note too many is not."""
        if isinstance(event, EpochEvent | CheckpointEvent | StateEvent):
            self._check_order(event)
        if isinstance(event, CheckpointEvent):
            self._names.update(map(str, event.files))
            if len(self._names) > MOST_CHECKPOINT_FILES:
                raise _broken(f"Its checkpoints have more than {MOST_CHECKPOINT_FILES} files.")
        if not isinstance(event, NoticeEvent | WarningEvent | ResumedEvent | StartedEvent):
            return True
        self._notes += 1
        if self._notes == MOST_NOTES + 1:
            log.warning("trainer.notes_dropped", job_id=self._job_id, most=MOST_NOTES)
        return self._notes <= MOST_NOTES

    def _check_order(self, event: EpochEvent | CheckpointEvent | StateEvent) -> None:
        """Check that an epoch, its checkpoint and its training state come once, and in order."""
        newest = self._newest.get(type(event), 0)
        if not newest < event.epoch <= LAST_EPOCH:
            raise _broken(
                f"It sent the {event.type} of epoch {event.epoch} after that of {newest}."
            )
        self._newest[type(event)] = event.epoch


def _broken(what: str) -> AttemptFailed:
    return AttemptFailed(EndReason.TRAINER_BUG, f"The trainer broke its protocol. {what}")
