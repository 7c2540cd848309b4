"""Checkpoints that wait to be stored, limited so that they do not fill the disk."""

import threading

from app.artifacts.names import LAST, STATE
from app.artifacts.resume_sets import WHILE_NOT_ENDED, NamedFile, set_of
from app.core.guarded_files import GuardedFolder
from worker.attempt.trainer_files import remove_file
from worker.trainer.protocol import CheckpointEvent, StateEvent


class WaitingCheckpoints:
    """The files that a trainer has handed over and that are not stored yet.

    It keeps the two newest sets, the newest training state with its set, and the set of an epoch
    whose training state is being written. The store would soon delete any other file; it has the
    sets of earlier epochs.
    """

    def __init__(self, run: GuardedFolder) -> None:
        self._run = run
        self._files: dict[NamedFile, str] = {}
        self._superseded: set[NamedFile] = set()
        self._awaiting_state: int | None = None
        self._lock = threading.Lock()

    def add(self, event: CheckpointEvent) -> None:
        """Add the files of a checkpoint, and remove the files that they supersede.

        Raises:
            AttemptFailed: a superseded file is not one that the trainer may hand over.
        """
        with self._lock:
            self._files |= {
                (str(name), event.epoch): path
                for name, path in event.files.items()
                if path is not None
            }
            if event.state_follows:
                self._awaiting_state = event.epoch
            self._drop_superseded()

    def take(self, event: CheckpointEvent) -> CheckpointEvent:
        """Remove a checkpoint and return it with only those files that were not superseded."""
        with self._lock:
            of_event = {(str(name), event.epoch) for name in event.files}
            gone = of_event & self._superseded
            self._superseded -= of_event
            for file in of_event:
                self._files.pop(file, None)
        if not gone:
            return event
        files = {
            name: path
            for name, path in event.files.items()
            if path and (name, event.epoch) not in gone
        }
        return event.model_copy(update={"files": files})

    def _drop_superseded(self) -> None:
        for file in self._files.keys() - self._needed():
            self._superseded.add(file)
            remove_file(self._run, self._files.pop(file))

    def _needed(self) -> set[NamedFile]:
        states = self._newest_epochs(STATE, most=1)
        kept = {*self._newest_epochs(LAST, most=WHILE_NOT_ENDED.newest), *states}
        if self._awaiting_state is not None:
            kept.add(self._awaiting_state)
        needed = {file for epoch in kept for file in set_of(epoch, self._files).items()}
        return {file for file in needed if file[0] != STATE or file[1] in states}

    def _newest_epochs(self, name: str, *, most: int) -> list[int]:
        return sorted((epoch for each, epoch in self._files if each == name), reverse=True)[:most]


def as_checkpoint(event: CheckpointEvent | StateEvent) -> CheckpointEvent:
    """Return a training state as a checkpoint that consists of it alone."""
    if isinstance(event, CheckpointEvent):
        return event
    return CheckpointEvent(epoch=event.epoch, files={STATE: event.file})
