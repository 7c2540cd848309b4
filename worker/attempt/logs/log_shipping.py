"""Ship the trainer's output to the database in pieces, then store it as one artifact.

For a failure, find the line of it that tells why.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Self

from app.core.database import Database
from app.core.storage import ArtifactStore, StoredObject
from app.jobs.life.log_pieces import append_log, attempts_with_logs, log_pieces
from app.jobs.locks import Fenced, Hold
from worker.attempt.lease import Lease, LeaseLost
from worker.attempt.logs.plain_text import PlainText, whole_lines

PIECE_BYTES = 64 * 1024
PAUSE_SECONDS = 1.0
CUT_NOTICE = b"\n[the log is cut here: it has reached the limit of one attempt]\n"
LONGEST_SEEN: Final = 64 * 1024
"""Of a longer line, only the beginning is looked at."""
SHORTEST_MESSAGE: Final = 8
"""Characters of a message; a shorter one may be part of any line."""
LONGEST_MESSAGE: Final = 200
TRACEBACK: Final = b"Traceback (most recent call last):"
LAST_WORDS: Final = (b"Fatal Python error", b"terminate called after throwing")
"""What a process prints that a signal of its own ends."""


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


class ErrorLine:
    """Takes a log in pieces. `number` is the line, from 1; None if no line tells the failure.

    Args:
        message: of the failure. The last line that contains it, or what follows its first colon, is
            the one.
        raised: whether the process ended because of an exception. Without the message in the log,
            the line after the last traceback is the one.
    """

    def __init__(self, message: str | None, *, raised: bool) -> None:
        self._needles = _needles(message or "")
        self._takes_tracebacks = raised
        self._rest = b""
        self._lines = 0
        self._is_in_traceback = False
        self._told: int | None = None
        self._raised: int | None = None

    @property
    def number(self) -> int | None:
        """The line that was found in what was fed so far."""
        if self._rest:
            self._take(self._rest)
            self._rest = b""
        return self._told or self._raised

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the log."""
        *lines, rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._take(line)
        self._rest = rest[:LONGEST_SEEN]

    def _take(self, line: bytes) -> None:
        self._lines += 1
        if any(needle in line for needle in self._needles):
            self._told = self._lines
        if line.startswith(LAST_WORDS):
            self._raised = self._lines
        elif line.startswith(TRACEBACK):
            self._is_in_traceback = True
        elif self._is_in_traceback and line[:1].strip():  # its frames are indented
            self._is_in_traceback = False
            if self._takes_tracebacks:
                self._raised = self._lines


def store_logs(
    database: Database,
    store: ArtifactStore,
    hold: Hold,
    *,
    folder: Path,
    error_line: ErrorLine | None = None,
) -> dict[int, StoredObject]:
    """Store the logs of this and earlier attempts that are still in pieces; return them by attempt.

    They are read from the database, so it does not matter where the attempts ran. `error_line`
    takes the log of this attempt.
    """
    with database.read() as unit:
        attempts = attempts_with_logs(unit.session, hold.job_id)
    stored: dict[int, StoredObject] = {}
    for attempt in attempts:
        if attempt <= hold.attempt:
            own = error_line if attempt == hold.attempt else None
            path = folder / f"log-{attempt}"
            _write_log(database, path, (hold.job_id, attempt), own)
            stored[attempt] = store.put_file(path)
    return stored


def _write_log(
    database: Database, path: Path, of: tuple[str, int], error_line: ErrorLine | None
) -> None:
    with database.read() as unit, path.open("wb") as file:
        for piece in log_pieces(unit.session, *of):
            file.write(piece)
            if error_line is not None:
                error_line.feed(piece)


def _needles(message: str) -> list[bytes]:
    """Return the message, and what follows its first colon: a prefix is often ours."""
    texts = {message.strip(), message.partition(": ")[2].strip()}
    return [text[:LONGEST_MESSAGE].encode() for text in texts if len(text) >= SHORTEST_MESSAGE]
