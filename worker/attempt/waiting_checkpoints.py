"""Checkpoints that wait to be stored, limited so that they do not fill the disk."""

import threading
from pathlib import Path

from app.artifacts.resume_sets import WHILE_NOT_ENDED, superseded
from worker.trainer.protocol import CheckpointEvent


class WaitingCheckpoints:
    """The files that a trainer has handed over as links and that are not stored yet.

    It keeps the same sets as the store does for a job that has not ended: the store would delete
    any other file at once.
    """

    def __init__(self, run_directory: Path) -> None:
        self._run_directory = run_directory
        self._files: dict[int, dict[str, str]] = {}
        self._lock = threading.Lock()

    def add(self, event: CheckpointEvent) -> None:
        """Add a checkpoint, and remove the files that it supersedes."""
        with self._lock:
            self._files[event.epoch] = {
                str(name): path for name, path in event.files.items() if path is not None
            }
            self._drop_superseded()

    def take(self, event: CheckpointEvent) -> CheckpointEvent:
        """Remove a checkpoint and return it with only those files that were not superseded."""
        with self._lock:
            files = self._files.pop(event.epoch, None)
        if files is None:
            return event
        return event.model_copy(update={"files": files})

    def _drop_superseded(self) -> None:
        waiting = [(name, epoch) for epoch, files in self._files.items() for name in files]
        for name, epoch in superseded(waiting, WHILE_NOT_ENDED):
            path = self._files[epoch].pop(name)
            (self._run_directory / path).unlink(missing_ok=True)
