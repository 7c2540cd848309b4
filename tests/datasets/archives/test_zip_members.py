"""Members are read and written as `zipfile` does it."""

import io
import zipfile
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets.archives import zip_members
from app.datasets.archives.zip_container import UNREADABLE
from app.datasets.archives.zip_members import StoredZipWriter

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1, max_size=20)
CONTENTS = st.binary(max_size=200)
FAR = 3 * 1024**3


def zipfile_entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = 0o100444 << 16
    return entry


def write_both(ours: BinaryIO, theirs: BinaryIO, files: dict[str, bytes]) -> None:
    writer = StoredZipWriter(ours)
    with zipfile.ZipFile(theirs, "w") as archive:
        for name, content in files.items():
            writer.add(name, content)
            archive.writestr(zipfile_entry(name), content)
    writer.close()


def end_of(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(FAR)
        return file.read()


class TestWriting:
    @given(files=st.dictionaries(NAMES, CONTENTS, max_size=5))
    def test_the_bytes_are_those_of_zipfile(self, files: dict[str, bytes]) -> None:
        ours, theirs = io.BytesIO(), io.BytesIO()

        write_both(ours, theirs, files)

        assert ours.getvalue() == theirs.getvalue()

    def test_members_beyond_two_gigabytes_are_written_as_zipfile_does(self, tmp_path: Path) -> None:
        paths = tmp_path / "ours", tmp_path / "theirs"
        with paths[0].open("wb") as ours, paths[1].open("wb") as theirs:
            for file in (ours, theirs):
                file.seek(FAR)

            write_both(ours, theirs, {"a": b"first", "b": b"second"})

        assert end_of(paths[0]) == end_of(paths[1])

    @pytest.mark.slow
    def test_more_members_than_a_short_count_holds_are_written_as_zipfile_does(self) -> None:
        ours, theirs = io.BytesIO(), io.BytesIO()

        write_both(ours, theirs, {str(number): b"" for number in range(2**16)})

        assert ours.getvalue() == theirs.getvalue()

    def test_the_place_of_a_content_is_returned(self) -> None:
        file = io.BytesIO()
        writer = StoredZipWriter(file)
        writer.add("a.txt", b"one")

        begin = writer.add("ü.txt", b"two")

        assert file.getvalue()[begin:] == b"two"


class TestReading:
    @pytest.fixture
    def archive(self, tmp_path: Path) -> Path:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("plain.txt", b"some text " * 40)
            archive.writestr("straße.txt", b"more text")
            archive.writestr("stored.txt", b"stored", zipfile.ZIP_STORED)
            archive.writestr("empty.txt", b"", zipfile.ZIP_STORED)
            with_extra = zipfile.ZipInfo("extra.txt")
            with_extra.extra = b"\xff\xff\x04\x00abcd"
            archive.writestr(with_extra, b"has an extra field")
        return path

    def test_contents_are_those_of_zipfile(self, archive: Path) -> None:
        with archive.open("rb") as file, zipfile.ZipFile(file) as opened:
            read = {
                entry.filename: zip_members.content_of(file, entry) for entry in opened.infolist()
            }

            assert read == {name: opened.read(name) for name in opened.namelist()}

    def test_a_byte_that_changed_leaves_the_verdict_to_zipfile(self, archive: Path) -> None:
        content = bytearray(archive.read_bytes())
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
        first = entries[0]
        begin, end = first.header_offset, entries[1].header_offset

        for at in range(begin, end):
            changed = bytearray(content)
            changed[at] ^= 0xFF
            archive.write_bytes(changed)
            with archive.open("rb") as file:
                read = zip_members.content_of(file, first)

            assert read in (None, by_zipfile(archive, first.filename))


def by_zipfile(path: Path, name: str) -> bytes | None:
    """Return what zipfile reads, or None if it refuses the member."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except UNREADABLE:
        return None
