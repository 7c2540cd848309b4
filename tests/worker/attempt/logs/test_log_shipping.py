"""Every line of a log is stored once, in order, as plain text, up to the limit."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.database import Database
from app.core.storage import ArtifactStore
from app.jobs.life.log_pieces import append_log, log_pieces
from app.jobs.locks import Hold
from app.settings import Settings
from tests.counting import statements_to
from tests.waiting import eventually
from tests.worlds.worker import a_lease
from worker.attempt.logs.log_shipping import (
    CUT_NOTICE,
    PIECE_BYTES,
    ErrorLine,
    LogShipper,
    store_logs,
)
from worker.attempt.logs.plain_text import PlainText

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    path = tmp_path / "trainer.log"
    path.touch()
    return path


OPENED: list[IO[bytes]] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def shipper(database: Database, hold: Hold, path: Path, *, limit: int = 10**6) -> LogShipper:
    plain = PlainText([path.parent])
    OPENED.append(path.open("a+b"))
    return LogShipper(a_lease(database, hold), OPENED[-1], limit_bytes=limit, plain=plain)


def shipped(database: Database, hold: Hold) -> bytes:
    with database.read() as unit:
        return b"".join(log_pieces(unit.session, hold.job_id, hold.attempt))


class TestLogShipper:
    def test_a_log_shipper_ships_while_the_trainer_writes(
        self, database: Database, hold: Hold, log_file: Path
    ) -> None:
        with shipper(database, hold, log_file).shipping():
            log_file.write_bytes(b"first line\n")

            eventually(lambda: shipped(database, hold) == b"first line\n", within=5)

    def test_an_unfinished_line_is_shipped_with_its_end(
        self, database: Database, hold: Hold, log_file: Path
    ) -> None:
        with shipper(database, hold, log_file).shipping():
            log_file.write_bytes(b"first line\nsecond")
            eventually(lambda: shipped(database, hold) == b"first line\n", within=5)
            log_file.write_bytes(b"first line\nsecond line\nthird")
            eventually(lambda: shipped(database, hold) == b"first line\nsecond line\n", within=5)

    def test_the_rest_of_a_log_is_shipped_without_a_line_end(
        self, database: Database, hold: Hold, log_file: Path
    ) -> None:
        log_file.write_bytes(b"first line\nlast words")

        shipper(database, hold, log_file).ship_rest()

        assert shipped(database, hold) == b"first line\nlast words"

    def test_codes_and_folders_that_a_piece_cuts_are_removed(
        self, database: Database, hold: Hold, log_file: Path
    ) -> None:
        line = f"\x1b[1m{log_file.parent}/run/weights/best.pt\x1b[0m\n".encode()
        assert PIECE_BYTES % len(line)
        log_file.write_bytes(line * (4 * PIECE_BYTES // len(line)))

        shipper(database, hold, log_file).ship_rest()

        assert set(shipped(database, hold).splitlines()) == {b"run/weights/best.pt"}

    def test_every_line_arrives_once_in_pieces_of_64_kib(
        self, database: Database, hold: Hold, log_file: Path
    ) -> None:
        lines = b"".join(b"%d \xff not UTF-8\n" % number for number in range(PIECE_BYTES // 6))
        written = lines + "half a rune \u00e9".encode()[:-1]
        log_file.write_bytes(written)
        ship = shipper(database, hold, log_file)

        ship.ship_rest()
        ship.ship_rest()

        assert shipped(database, hold) == written

    def test_a_piece_takes_two_statements(
        self, database: Database, hold: Hold, log_file: Path
    ) -> None:
        log_file.write_bytes(b"a line\n")

        with statements_to(database) as statements:
            shipper(database, hold, log_file).ship_rest()

        assert statements == ["UPDATE jobs", "INSERT log_chunks"]

    def test_a_piece_whose_answer_was_lost_is_kept_once(
        self, database: Database, hold: Hold, log_file: Path
    ) -> None:
        """The database disconnects during the commit: a committed write is repeated."""
        log_file.write_bytes(b"whole line\n")
        shipper(database, hold, log_file).ship_rest()

        shipper(database, hold, log_file).ship_rest()

        assert shipped(database, hold) == b"whole line\n"

    def test_a_log_beyond_its_limit_is_cut_with_a_notice(
        self, database: Database, hold: Hold, log_file: Path
    ) -> None:
        log_file.write_bytes(b"x" * 100)
        ship = shipper(database, hold, log_file, limit=64)

        ship.ship_rest()
        ship.ship_rest()

        assert shipped(database, hold) == b"x" * 64 + CUT_NOTICE

    def test_a_log_far_beyond_its_limit_does_not_fill_the_disk(
        self, database: Database, hold: Hold, log_file: Path
    ) -> None:
        log_file.write_bytes(b"x" * 200)
        ship = shipper(database, hold, log_file, limit=64)

        ship.ship_rest()
        ship.ship_rest()

        assert log_file.stat().st_size == 0


class TestStoreLogs:
    def test_storing_logs_makes_one_object_of_the_pieces_of_each_attempt(
        self, database: Database, hold: Hold, tmp_path: Path
    ) -> None:
        store = ArtifactStore.from_settings(Settings(home=tmp_path / "home"))
        with database.write() as unit:
            append_log(unit.session, hold, offset=4, chunk=b" two")
            append_log(unit.session, hold, offset=0, chunk=b"one,")

        logs = store_logs(database, store, hold, folder=tmp_path)

        stored = logs[hold.attempt]
        assert b"".join(store.open_range(stored.sha256, 0, stored.size_bytes)) == b"one, two"


LOG = b"""Epoch 1/3
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    raise KeyError("handled")
KeyError: 'handled'
Epoch 2/3
Traceback (most recent call last):
  File "a.py", line 2, in <module>
    train()
worker.trainer.errors.Diverged: No epoch reached a fitness above 0.
done
"""


def line_of(
    log: bytes, message: str | None, *, raised: bool = True, step: int = 1000
) -> int | None:
    error_line = ErrorLine(message, raised=raised)
    for at in range(0, len(log), step):
        error_line.feed(log[at : at + step])
    return error_line.number


class TestErrorLine:
    @pytest.mark.parametrize(
        ("message", "line"),
        [
            ("No epoch reached a fitness above 0.", 10),
            ("KeyError: 'handled'", 5),
            ("Memory ran out: No epoch reached a fitness", 10),
            ("Nothing of this is in the log.", 10),
            ("done", 10),
            (None, 10),
        ],
        ids=["message", "type", "behind our words", "other", "too short to tell", "none"],
    )
    def test_the_line_has_the_message_or_ends_the_last_traceback(
        self, message: str | None, line: int
    ) -> None:
        assert line_of(LOG, message) == line

    def test_a_traceback_tells_nothing_of_a_process_that_was_killed(self) -> None:
        assert line_of(LOG, None, raised=False) is None

    def test_the_last_words_of_a_crash_are_found(self) -> None:
        log = LOG + b"Fatal Python error: Segmentation fault\n\nThread 1\n"

        assert line_of(log, None, raised=False) == 12

    def test_a_last_line_without_end_is_looked_at(self) -> None:
        assert line_of(b"first\nKeyError: 'x'", "KeyError: 'x'") == 2

    @given(st.integers(1, len(LOG)))
    def test_the_pieces_of_the_log_make_no_difference(self, step: int) -> None:
        assert line_of(LOG, "No epoch reached a fitness above 0.", step=step) == 10
