"""Checkpoints that wait to be stored, and why they do not fill the disk while they do."""

import threading
from pathlib import Path

from worker.checkpoints import KEPT_EPOCHS, LAST, OF_EVERY_EPOCH
from worker.trainer.protocol import CheckpointEvent


class WaitingCheckpoints:
    """The files that a trainer has linked for us and that nobody has stored yet.

    Of last.pt and results.csv the two newest are kept, of each best file what a resume from these
    two needs: as the store keeps them. What is dropped would be stored, and deleted at once.
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
        newest_first = sorted(self._epochs_with(LAST), reverse=True)
        if len(newest_first) < KEPT_EPOCHS:
            return
        oldest_kept = newest_first[KEPT_EPOCHS - 1]
        for name in {name for files in self._files.values() for name in files}:
            before = [epoch for epoch in self._epochs_with(name) if epoch <= oldest_kept]
            kept_from = oldest_kept if name in OF_EVERY_EPOCH else max(before, default=0)
            for epoch in before:
                if epoch < kept_from:
                    path = self._files[epoch].pop(name)
                    (self._run_directory / path).unlink(missing_ok=True)

    def _epochs_with(self, name: str) -> list[int]:
        return [epoch for epoch, files in self._files.items() if name in files]
