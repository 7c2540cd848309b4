"""Ship the trainer's output to the database in pieces, then store it as one artifact."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

from app.core.database import Database
from app.core.storage import ArtifactStore, StoredObject
from app.jobs.life.log_pieces import append_log, attempts_with_logs, log_pieces
from app.jobs.locks import Fenced, Hold
from worker.attempt.lease import Lease, LeaseLost
from worker.attempt.plain_text import PlainText, whole_lines

PIECE_BYTES = 64 * 1024
PAUSE_SECONDS = 1.0
CUT_NOTICE = b"\n[the log is cut here: it has reached the limit of one attempt]\n"


class LogShipper:
    """Reads the new bytes of a log file every second, and stores its whole lines as plain text.

    The file stays open, since a trainer could put a link or a pipe in the place of its name.

    Reading stops at `limit_bytes`. From then on the file is emptied whenever it exceeds that size,
    so that it cannot fill the disk. What is stored is never longer than what was read, apart
    from the notice of the cut.
    """

    def __init__(
        self, lease: Lease, file: IO[bytes], *, limit_bytes: int, plain: PlainText
    ) -> None:
        self._lease = lease
        self._file = file
        self._limit_bytes = limit_bytes
        self._plain = plain
        self._read_bytes = 0
        self._stored_bytes = 0
        self._unfinished_line = b""
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
        """Ship all that the file contains now; call it after `shipping` has ended.

        Raises:
            Fenced: the hold is not valid any more.
            LeaseLost: the database was unavailable for too long.
        """
        self._ship_lines()
        self._store(self._plain.of(self._unfinished_line))
        self._unfinished_line = b""

    def _run(self) -> None:
        with suppress(Fenced, LeaseLost):
            while not self._ended.wait(PAUSE_SECONDS):
                self._ship_lines()

    def _ship_lines(self) -> None:
        while self._ship_piece(self._file.fileno()):
            pass

    def _ship_piece(self, descriptor: int) -> bool:
        if self._is_cut:
            self._empty_when_large(descriptor)
            return False
        room = self._limit_bytes - self._read_bytes
        piece = os.pread(descriptor, min(PIECE_BYTES, room), self._read_bytes)
        if not piece:
            return False
        lines, unfinished = whole_lines(self._unfinished_line + piece)
        is_cut = len(piece) == room
        if is_cut:
            self._store(self._plain.of(lines + unfinished) + CUT_NOTICE)
        else:
            self._store(self._plain.of(lines))
        self._read_bytes += len(piece)
        self._unfinished_line = b"" if is_cut else unfinished
        self._is_cut = is_cut
        return True

    def _store(self, text: bytes) -> None:
        if text:
            offset, hold = self._stored_bytes, self._lease.hold
            self._lease.write(lambda session: append_log(session, hold, offset=offset, chunk=text))
            self._stored_bytes += len(text)

    def _empty_when_large(self, descriptor: int) -> None:
        if os.fstat(descriptor).st_size > self._limit_bytes:
            os.truncate(descriptor, 0)


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
