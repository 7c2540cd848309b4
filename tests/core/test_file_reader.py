"""A part of a file comes whole, from the page cache and from the disk."""

import asyncio
import os
from pathlib import Path

import pytest

from app.core.file_reader import CACHED_PIECE_BYTES, FileReader

CONTENT = os.urandom(3 * CACHED_PIECE_BYTES)
START, LENGTH = 1000, 2 * CACHED_PIECE_BYTES + 5

pytestmark = pytest.mark.unit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def read_by_the_event_loop(pieces: FileReader) -> list[bytes]:
    async def read() -> list[bytes]:
        return [bytes(piece) async for piece in pieces]

    return asyncio.run(read())


def forget(path: Path) -> None:
    """Write the file to the disk and remove it from the page cache."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class TestFileReader:
    def test_the_event_loop_reads_a_part_of_a_file_in_pieces(self, path: Path) -> None:
        file = path.open("rb")

        pieces = read_by_the_event_loop(FileReader(file, START, LENGTH))

        assert b"".join(pieces) == CONTENT[START : START + LENGTH]
        assert max(map(len, pieces)) <= CACHED_PIECE_BYTES
        assert file.closed

    def test_the_event_loop_reads_a_file_that_is_not_in_the_page_cache(self, path: Path) -> None:
        forget(path)

        pieces = read_by_the_event_loop(FileReader(path.open("rb"), START, LENGTH))

        assert b"".join(pieces) == CONTENT[START : START + LENGTH]

    def test_a_thread_reads_the_same_bytes(self, path: Path) -> None:
        file = path.open("rb")

        read = b"".join(FileReader(file, START, LENGTH))

        assert read == CONTENT[START : START + LENGTH]
        assert file.closed

    def test_a_file_that_became_shorter_ends_with_an_error(self, path: Path) -> None:
        pieces = FileReader(path.open("rb"), START, LENGTH)
        os.truncate(path, START + 10)

        with pytest.raises(EOFError):
            read_by_the_event_loop(pieces)
