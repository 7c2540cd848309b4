"""The spool returns its items in order, and frees their disk space as early as possible."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.attempt.spool import RESTART_BYTES, EventSpool


def all_of(spool: EventSpool) -> list[bytes]:
    spool.end()
    return list(iter(spool.take, None))


class TestEventSpool:
    @given(lines=st.lists(st.binary(max_size=200)))
    def test_lines_leave_the_spool_in_the_order_they_came_in(
        self, tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
    ) -> None:
        with EventSpool(tmp_path_factory.mktemp("spool") / "events") as spool:
            for line in lines:
                spool.append(line)

            assert all_of(spool) == lines

    def test_a_line_is_waited_for(self, tmp_path: Path) -> None:
        taken: list[bytes | None] = []
        with EventSpool(tmp_path / "events") as spool:
            taker = threading.Thread(target=lambda: taken.append(spool.take()))
            taker.start()

            spool.append(b"late\n")
            taker.join(10)

        assert taken == [b"late\n"]

    def test_the_end_is_told_to_who_waits(self, tmp_path: Path) -> None:
        with EventSpool(tmp_path / "events") as spool:
            taker = threading.Thread(target=spool.take)
            taker.start()

        taker.join(10)
        assert not taker.is_alive()

    def test_lines_after_the_end_of_the_spool_are_dropped(self, tmp_path: Path) -> None:
        with EventSpool(tmp_path / "events") as spool:
            spool.append(b"in time")
            spool.end()
            spool.append(b"too late")

            assert all_of(spool) == [b"in time"]

    def test_a_large_file_begins_anew_once_all_was_taken(self, tmp_path: Path) -> None:
        file = tmp_path / "events"
        line = b"x" * 1000
        with EventSpool(file) as spool:
            for _ in range(2 * RESTART_BYTES // len(line)):
                spool.append(line)
                spool.append(line)
                assert (spool.take(), spool.take()) == (line, line)
            assert spool.is_empty

            assert file.stat().st_size <= RESTART_BYTES + 2 * len(line)

    def test_no_one_else_can_read_the_spool(self, tmp_path: Path) -> None:
        with EventSpool(tmp_path / "events"):
            assert (tmp_path / "events").stat().st_mode & 0o777 == 0o600
