"""Untrusted tars, plain and compressed: which are refused before their content is used."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.archives.audit import open_archive
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import Limits
from tests.datasets.archives.opening import SMALL, contents, opened
from tests.datasets.tars import COMPRESSIONS, END, entry, gzipped, pax, tarred

PLAIN = {"images/a.jpg": b"image" * 200, "labels/a.txt": b"0 .5 .5 .1 .1"}
A = entry(b"a.jpg", b"x")
LONG_NAME = b"f/" * 60 + b"a.jpg"

REFUSED = {
    "parent": (entry(b"../../etc/x", b"x") + END, Code.PATH_TRAVERSAL),
    "absolute": (entry(b"/etc/passwd", b"x") + END, Code.PATH_TRAVERSAL),
    "drive": (entry(b"C:\\x.jpg", b"x") + END, Code.PATH_TRAVERSAL),
    "folder-outside": (entry(b"../", kind=b"5") + END, Code.PATH_TRAVERSAL),
    "pax-name": (pax({"path": "../x.jpg"}) + A + END, Code.PATH_TRAVERSAL),
    "pax-name-nul": (pax({"path": b"a.jpg\0.txt"}) + A + END, Code.PATH_TRAVERSAL),
    "gnu-name": (entry(b"L", b"/x.jpg\0", kind=b"L") + A + END, Code.PATH_TRAVERSAL),
    "symbolic-link": (entry(b"l", kind=b"2", target=b"/etc/passwd") + END, Code.SPECIAL_FILE),
    "hard-link": (A + entry(b"l", kind=b"1", target=b"a.jpg") + END, Code.SPECIAL_FILE),
    "character-device": (entry(b"l", kind=b"3") + END, Code.SPECIAL_FILE),
    "block-device": (entry(b"l", kind=b"4") + END, Code.SPECIAL_FILE),
    "pipe": (entry(b"l", kind=b"6") + END, Code.SPECIAL_FILE),
    "sparse": (entry(b"a.jpg", kind=b"S") + END, Code.SPECIAL_FILE),
    "pax-sparse": (pax({"GNU.sparse.major": "1"}) + A + END, Code.SPECIAL_FILE),
    "unknown-kind": (entry(b"a.jpg", kind=b"Z") + END, Code.SPECIAL_FILE),
    "volume": (entry(b"a.jpg", b"x", kind=b"M") + END, Code.SPECIAL_FILE),
    "duplicate": (A + entry(b"./a.jpg", b"y") + END, Code.DUPLICATE_NAME),
    "case": (A + entry(b"A.JPG", b"y") + END, Code.DUPLICATE_NAME),
    "file-and-folder": (entry(b"a", b"x") + entry(b"a/b", b"x") + END, Code.DUPLICATE_NAME),
    "deep": (pax({"path": "f/" * 70 + "a"}) + A + END, Code.NAME_TOO_LONG),
    "long": (pax({"path": "f" * 5000}) + A + END, Code.NAME_TOO_LONG),
    "member-size": (entry(b"a.jpg", bytes(100_001)) + END, Code.ARCHIVE_BOMB),
    "members": (b"".join(entry(b"%d" % n) for n in range(51)) + END, Code.ARCHIVE_BOMB),
    "ratio": (gzipped(entry(b"a.jpg", bytes(90_000)) + END), Code.ARCHIVE_BOMB),
    "ratio-bz2": (bz2.compress(entry(b"a.jpg", bytes(90_000)) + END), Code.ARCHIVE_BOMB),
    "ratio-xz": (lzma.compress(entry(b"a.jpg", bytes(90_000)) + END), Code.ARCHIVE_BOMB),
    "total-size": (
        gzipped(b"".join(entry(b"%d" % n, os.urandom(80_000)) for n in range(3)) + END),
        Code.ARCHIVE_BOMB,
    ),
    "pax-size": (pax({"size": "1"}) + entry(b"a.jpg", b"xy") + END, Code.ARCHIVE_CORRUPT),
    "pax-huge-size": (pax({"size": "9" * 19}) + A + END, Code.ARCHIVE_CORRUPT),
    "pax-endless-size": (pax({"size": "9" * 400}) + A + END, Code.ARCHIVE_CORRUPT),
    "pax-negative-size": (pax({"size": "-1"}) + A + END, Code.ARCHIVE_CORRUPT),
    "pax-length": (entry(b"p", b"99 path=x\n", kind=b"x") + A + END, Code.ARCHIVE_CORRUPT),
    "pax-length-zero": (entry(b"p", b"0 path=x\n", kind=b"x") + A + END, Code.ARCHIVE_CORRUPT),
    "pax-without-length": (entry(b"p", b"path=x\n", kind=b"x") + A + END, Code.ARCHIVE_CORRUPT),
    "pax-twice": (pax({"path": "x"}) * 2 + A + END, Code.ARCHIVE_CORRUPT),
    "pax-of-nothing": (A + pax({"path": "x"}) + END, Code.ARCHIVE_CORRUPT),
    "pax-large": (entry(b"p", bytes(1_100_000), kind=b"x") + A + END, Code.ARCHIVE_CORRUPT),
    "pax-global-name": (pax({"path": "x"}, b"g") + A + END, Code.ARCHIVE_CORRUPT),
    "negative-size": (entry(b"a", size=b"\xff" * 12) + END, Code.ARCHIVE_CORRUPT),
    "base-256-size": (entry(b"a", size=b"\x80" + b"\x7f" * 11) + END, Code.ARCHIVE_CORRUPT),
    "size-no-number": (entry(b"a", size=b"0000000000x\0") + END, Code.ARCHIVE_CORRUPT),
    "folder-with-content": (entry(b"a/", b"x", kind=b"5") + END, Code.ARCHIVE_CORRUPT),
    "checksum": ((A + END).replace(b"0000644", b"0000645"), Code.ARCHIVE_CORRUPT),
    "cut-in-content": (entry(b"a.jpg", bytes(5000))[:2000], Code.ARCHIVE_CORRUPT),
    "cut-in-header": (A + A[:100], Code.ARCHIVE_CORRUPT),
    "no-end": (A, Code.ARCHIVE_CORRUPT),
    "two-tars": (A + END + entry(b"b.jpg", b"x") + END, Code.ARCHIVE_CORRUPT),
    "trailing-data": (A + END + bytes(5000) + b"x", Code.ARCHIVE_CORRUPT),
    "gzip-cut": (gzipped(tarred(PLAIN))[:-20], Code.ARCHIVE_CORRUPT),
    "gzip-trailing-data": (gzipped(tarred(PLAIN)) + b"x", Code.ARCHIVE_CORRUPT),
    "gzip-of-no-tar": (gzipped(b"class,x,y\n"), Code.ARCHIVE_CORRUPT),
    "gzip-in-gzip": (gzipped(gzipped(tarred(PLAIN))), Code.ARCHIVE_CORRUPT),
    "gzip-streams": (gzipped(tarred(PLAIN)) + gzipped(b"") * 2000, Code.ARCHIVE_CORRUPT),
    "bz2-damaged": (bz2.compress(tarred(PLAIN))[:40] + bytes(40), Code.ARCHIVE_CORRUPT),
    "xz-cut": (lzma.compress(tarred(PLAIN))[:-30], Code.ARCHIVE_CORRUPT),
}

UNREAD = {
    "RAR": b"Rar!\x1a\x07\x01\x00",
    "7z": b"7z\xbc\xaf\x27\x1c\x00\x04",
    "Zstandard": b"\x28\xb5\x2f\xfd\x04\x00",
    "cabinet": b"MSCF\0\0\0\0",
    "split": b"PK\x07\x08PK\x03\x04",
}


class TestRefusedTars:
    @pytest.mark.parametrize("row", REFUSED)
    def test_a_hostile_tar_is_refused_for_its_reason(self, row: str, tmp_path: Path) -> None:
        content, code = REFUSED[row]

        names, findings = opened(tmp_path, content)

        assert names is None
        assert {found.code for found in findings} == {code}

    @pytest.mark.parametrize("kind", UNREAD)
    def test_an_archive_of_another_kind_is_named_with_the_cure(
        self, kind: str, tmp_path: Path
    ) -> None:
        names, findings = opened(tmp_path, UNREAD[kind] + bytes(600))

        assert (names, [found.code for found in findings]) == (None, [Code.FORMAT_UNREAD])
        assert kind in findings[0].message
        assert ".tar.gz" in findings[0].message

    def test_a_picture_is_called_a_picture(self, tmp_path: Path) -> None:
        _, findings = opened(tmp_path, b"\x89PNG\r\n\x1a\n" + bytes(600))

        assert "a PNG picture" in findings[0].message

    @settings(max_examples=60, deadline=None)
    @given(at=st.integers(0, 10_239), byte=st.integers(0, 255))
    def test_a_changed_byte_never_raises(
        self, tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
    ) -> None:
        content = bytearray(pax({"path": "long/a.jpg"}) + tarred(PLAIN))
        content[at % len(content)] = byte
        folder = tmp_path_factory.mktemp("tar")

        names, findings = opened(folder, bytes(content))

        assert names is not None or findings


class TestAcceptedTars:
    @pytest.mark.parametrize("kind", COMPRESSIONS)
    def test_a_tar_is_read_back(self, kind: str, tmp_path: Path) -> None:
        assert contents(tmp_path, COMPRESSIONS[kind](tarred(PLAIN))) == PLAIN

    @pytest.mark.parametrize(
        "format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
    )
    def test_a_long_name_is_read_in_each_format(self, format_: int, tmp_path: Path) -> None:
        name = LONG_NAME.decode()

        assert contents(tmp_path, tarred({name: b"x"}, format_)) == {name: b"x"}

    @pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_a_name_that_is_not_ascii_is_utf_8(self, format_: int, tmp_path: Path) -> None:
        assert contents(tmp_path, tarred({"猫/é.jpg": b"x"}, format_)) == {"猫/é.jpg": b"x"}

    def test_the_folder_that_was_packed_is_no_member(self, tmp_path: Path) -> None:
        packed = entry(b"./", kind=b"5") + entry(b"./a.jpg", b"x") + END

        assert contents(tmp_path, packed) == {"a.jpg": b"x"}

    def test_the_old_format_is_read(self, tmp_path: Path) -> None:
        old = {"magic": bytes(8)}
        packed = (
            entry(b"images/", kind=b"\0", **old)
            + entry(b"images/a.jpg", b"x", kind=b"\0", **old)
            + END
        )

        assert contents(tmp_path, packed) == {"images/a.jpg": b"x"}

    def test_the_comment_of_git_archive_does_no_harm(self, tmp_path: Path) -> None:
        packed = pax({"comment": "f" * 40}, b"g") + A + END

        assert contents(tmp_path, packed) == {"a.jpg": b"x"}

    def test_records_of_other_tools_do_no_harm(self, tmp_path: Path) -> None:
        records: dict[str, bytes | str] = {"LIBARCHIVE.xattr.x": b"\0\n=", "path": "b.jpg"}

        assert contents(tmp_path, pax(records) + A + END) == {"b.jpg": b"x"}

    def test_gzip_of_several_streams_is_read(self, tmp_path: Path) -> None:
        whole = tarred(PLAIN)
        content = gzip.compress(whole[:700]) + gzip.compress(whole[700:]) + bytes(512)

        assert contents(tmp_path, content) == PLAIN

    def test_a_prefix_is_no_more_than_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "a.tar").write_bytes(tarred({"a": b"12345", "b": b"6789"}))

        with open_archive(tmp_path / "a.tar", SMALL, Findings()) as archive:
            assert archive is not None
            read = [archive.prefix(member, size) for member in archive.members for size in (2, 99)]

        assert read == [b"12", b"12345", b"67", b"6789"]


class TestTemporaryFiles:
    def test_none_is_left_and_none_is_seen_while_the_archive_is_open(self, tmp_path: Path) -> None:
        (tmp_path / "a.tgz").write_bytes(gzipped(tarred(PLAIN)))
        folder = tmp_path / "output"
        folder.mkdir()

        with open_archive(tmp_path / "a.tgz", Limits(), Findings(), folder) as archive:
            assert archive is not None
            meanwhile = list(folder.iterdir())

        assert (meanwhile, list(folder.iterdir())) == ([], [])

    def test_a_bomb_is_not_written_beyond_the_limit(self, tmp_path: Path) -> None:
        stream = io.BytesIO()
        with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as file:
            for _ in range(50):
                file.write(bytes(1_000_000))

        names, findings = opened(tmp_path, stream.getvalue())

        assert (names, [found.code for found in findings]) == (None, [Code.ARCHIVE_BOMB])
