"""The state of a training at the end of one epoch, which can be written while the next one trains.

A snapshot stays what it was although the training goes on: its tensors are copies, and the best
files of its epoch are open, since a later epoch replaces them under their names.
"""

from contextlib import ExitStack
from pathlib import Path

from worker.trainer.state.file import Digests, StateHeader, write_state
from worker.trainer.state.generators import Plain
from worker.trainer.state.memory import SnapshotMemory


class Snapshot:
    """The state at the end of an epoch.

    Args:
        header: The header of its state, without the digests of the best files.
        parts: The parts of its state.
        best_files: The best.pt and best_<name>.pt files of the epoch, which are opened here.
        memory: The memory that contains the parts; None if they are those of the trainer itself,
            so that the snapshot is valid only until the training goes on.
    """

    def __init__(
        self,
        header: StateHeader,
        parts: Plain,
        best_files: list[Path],
        memory: SnapshotMemory | None = None,
    ) -> None:
        self.memory = memory
        self._header = header
        self._parts = parts
        self._open_files = ExitStack()
        self._best_files = {
            file.name: self._open_files.enter_context(file.open("rb")) for file in best_files
        }

    @property
    def epoch(self) -> int:
        """The epoch that had ended, from 1."""
        return self._header.epoch

    def write(self, file: Path, digests: Digests) -> int:
        """Write the training state and return its size in bytes.

        Raises:
            OSError, RuntimeError: The file cannot be written.
        """
        best = {name: digests.of_open(opened) for name, opened in self._best_files.items()}
        header = self._header.model_copy(update={"files": self._header.files | best})
        return write_state(file, header, self._parts)

    def close(self) -> None:
        """Close the best files; afterwards the snapshot cannot be written."""
        self._open_files.close()
