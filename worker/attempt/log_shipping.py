"""Ship the trainer's output to the database in pieces, then store it as one artifact."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from app.core.database import Database
from app.core.storage import ArtifactStore, StoredObject
from app.jobs.life.recording import append_log, attempts_with_logs, log_pieces
from app.jobs.locks import Fenced, Hold
from worker.attempt.lease import Lease, LeaseLost

PIECE_BYTES = 64 * 1024
PAUSE_SECONDS = 1.0
CUT_NOTICE = b"\n[the log is cut here: it has reached the limit of one attempt]\n"


class LogShipper:
    """Reads the new bytes of a log file every second, and stores them piece by piece.

    Bytes are kept unchanged, valid UTF-8 or not. Storing stops at `limit_bytes`. From then on the
    file is emptied whenever it exceeds that size, so that it cannot fill the disk.
    """

    def __init__(self, lease: Lease, path: Path, *, limit_bytes: int) -> None:
        self._lease = lease
        self._path = path
        self._limit_bytes = limit_bytes
        self._shipped_bytes = 0
        self._is_cut = False
        self._ended = threading.Event()

    @contextmanager
    def shipping(self) -> Iterator[Self]:
        """Ship in a separate thread until the block ends; call `ship_rest` for the last bytes."""
        thread = threading.Thread(target=self._run, name="log shipper", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def ship_rest(self) -> None:
        """Ship all bytes that the file contains now; call it after `shipping` has ended.

        Raises:
            Fenced: the hold is not valid any more.
            LeaseLost: the database was unavailable for too long.
        """
        with self._path.open("rb") as file:
            while self._ship_piece(file.fileno()):
                pass

    def _run(self) -> None:
        with suppress(Fenced, LeaseLost):
            while not self._ended.wait(PAUSE_SECONDS):
                self.ship_rest()

    def _ship_piece(self, descriptor: int) -> bool:
        if self._is_cut:
            self._empty_when_large(descriptor)
            return False
        room = self._limit_bytes - self._shipped_bytes
        piece = os.pread(descriptor, min(PIECE_BYTES, room), self._shipped_bytes)
        if not piece:
            return False
        self._is_cut = len(piece) == room
        offset, stored = self._shipped_bytes, piece + (CUT_NOTICE if self._is_cut else b"")
        self._lease.write(
            lambda session: append_log(session, self._lease.hold, offset=offset, chunk=stored)
        )
        self._shipped_bytes += len(piece)
        return True

    def _empty_when_large(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_size > self._limit_bytes:
            os.truncate(self._path, 0)


def store_logs(
    database: Database, store: ArtifactStore, hold: Hold, *, folder: Path
) -> dict[int, StoredObject]:
    """Store the logs of this and earlier attempts that are still in pieces; return them by attempt.

    They are read from the database, so it does not matter where the attempts ran.
    """
    with database.read() as unit:
        attempts = attempts_with_logs(unit.session, hold.job_id)
    return {
        attempt: _store_log(database, store, folder / f"log-{attempt}", (hold.job_id, attempt))
        for attempt in attempts
        if attempt <= hold.attempt
    }


def _store_log(
    database: Database, store: ArtifactStore, path: Path, of: tuple[str, int]
) -> StoredObject:
    with database.read() as unit, path.open("wb") as file:
        for piece in log_pieces(unit.session, *of):
            file.write(piece)
    return store.put_file(path)
