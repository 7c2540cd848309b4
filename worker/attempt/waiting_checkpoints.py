"""Checkpoints that wait to be stored, and why they do not fill the disk while they do."""

import threading
from pathlib import Path

from app.artifacts.resume_sets import WHILE_NOT_ENDED, superseded
from worker.trainer.protocol import CheckpointEvent


class WaitingCheckpoints:
    """The files that a trainer has linked for us and that nobody has stored yet.

    Those sets are kept that the store keeps of a job which is not ended: what is dropped would be
    stored, and deleted at once.
    """

    def __init__(self, run_directory: Path) -> None:
        self._run_directory = run_directory
        self._files: dict[int, dict[str, str]] = {}
        self._lock = threading.Lock()

    def add(self, event: CheckpointEvent) -> None:
        """Let a checkpoint wait, and drop files that it supersedes."""
        with self._lock:
            self._files[event.epoch] = {
                str(name): path for name, path in event.files.items() if path is not None
            }
            self._drop_superseded()

    def take(self, event: CheckpointEvent) -> CheckpointEvent:
        """Return the checkpoint with those files alone that are still there to be stored."""
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
