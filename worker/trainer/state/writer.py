"""Writes snapshots as training states: here and now, or in a thread while the training goes on."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.trainer.errors import is_disk_full
from worker.trainer.state.file import Digests
from worker.trainer.state.snapshot import Snapshot


@dataclass(frozen=True)
class WrittenState:
    """The file of a state, its size in bytes, and the seconds that it took to write it."""

    epoch: int
    file: Path
    size: int
    seconds: float


class StateWriter:
    """Writes one snapshot at a time. A snapshot is closed when it is written.

    Args:
        file_of: Returns the file for the state of an epoch.
        report: Called with each state that a thread has written, or with None if the disk has no
            room for it. It is called in that thread.
    """

    def __init__(
        self, file_of: Callable[[int], Path], report: Callable[[WrittenState | None], None]
    ) -> None:
        self._file_of = file_of
        self._report = report
        self._digests = Digests()
        self._thread: threading.Thread | None = None
        self._snapshot: Snapshot | None = None
        self._ended: list[WrittenState | None] = []
        self._error: Exception | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that a thread is writing."""
        is_writing = self._thread is not None and self._thread.is_alive()
        return self._snapshot if is_writing else None

    def write(self, snapshot: Snapshot) -> WrittenState | None:
        """Write a snapshot now. Return None if the disk has no room for it.

        Raises:
            OSError, RuntimeError: The state cannot be written for another reason.
        """
        began = time.monotonic()
        file = self._file_of(snapshot.epoch)
        try:
            size = snapshot.write(file, self._digests)
        except (OSError, RuntimeError) as error:
            if not is_disk_full(error):
                raise
            # All other files of the epoch are written, so the job can continue without a state.
            return None
        finally:
            snapshot.close()
        return WrittenState(snapshot.epoch, file, size, time.monotonic() - began)

    def start(self, snapshot: Snapshot) -> None:
        """Write a snapshot in a thread, after the one that is being written, if any."""
        self.finish()
        self._snapshot = snapshot
        self._thread = threading.Thread(
            target=self._write_and_report, args=(snapshot,), name="training state", daemon=True
        )
        self._thread.start()

    def finish(self) -> None:
        """Wait until the snapshot that is being written, if any, is written and reported.

        Raises:
            Exception: The error that ended the thread, once.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._raise_error()

    def ended(self) -> list[WrittenState | None]:
        """Return what was reported since the last call, unless a thread is writing.

        Raises:
            Exception: The error that ended the thread, once.
        """
        if self.snapshot is not None:
            return []
        self._raise_error()
        ended, self._ended = self._ended, []
        return ended

    def _write_and_report(self, snapshot: Snapshot) -> None:
        try:
            written = self.write(snapshot)
            self._report(written)
            self._ended.append(written)
        except Exception as error:  # noqa: BLE001 -- raised in the thread that trains
            self._error = error

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
