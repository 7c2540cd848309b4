"""Untrusted archives: which are refused before a byte is inflated, and which are accepted."""

import io
import os
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from app.datasets.archives.audit import Archive, MemberCorruptError, normalised_name, open_archive
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import Limits
from tests.datasets.builders import with_central_bytes, with_flags

SMALL = Limits(
    max_members=50, max_member_bytes=100_000, max_total_bytes=200_000, ratio_free_bytes=10_000
)


def zipped(
    *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def named(name: str) -> bytes:
    return zipped((name, b"x"))


def raw_name(name: bytes) -> bytes:
    """Return an archive with a member whose name zipfile itself would not write."""
    return named("N" * len(name)).replace(b"N" * len(name), name)


def special(mode: int) -> bytes:
    entry = zipfile.ZipInfo("images/link.jpg")
    entry.create_system = 3
    entry.external_attr = mode << 16
    return zipped((entry, b"/etc/passwd"))


def hard_link() -> bytes:
    entry = zipfile.ZipInfo("images/link.jpg")
    target = b"images/other.jpg"
    entry.extra = struct.pack("<HH", 0x000D, 12 + len(target)) + bytes(12) + target
    return zipped((entry, b""))


def with_method(method: int) -> bytes:
    archive = named("images/a.jpg")
    header = archive[:8] + struct.pack("<H", method) + archive[10:]
    return with_central_bytes(header, 10, struct.pack("<H", method))


def overlapping() -> bytes:
    """Return an archive whose two entries share one member's bytes (the core of Fifield's bomb)."""
    archive = zipped(("aa", b"x" * 100), ("bb", b"x" * 100))
    at = archive.rindex(b"PK\x01\x02")
    return archive[: at + 42] + struct.pack("<L", 0) + archive[at + 46 :]


def bomb() -> bytes:
    return zipped(("images/zero.bmp", bytes(90_000)), method=zipfile.ZIP_DEFLATED)


def lying_size() -> bytes:
    archive = zipped(("a.bmp", bytes(50_000)), method=zipfile.ZIP_DEFLATED)
    return with_central_bytes(archive, 24, struct.pack("<L", 10))


def many() -> bytes:
    return zipped(*((f"{number}.jpg", b"") for number in range(51)))


def declared_many() -> bytes:
    """Return an archive whose end-of-directory record declares ten million members."""
    archive = named("a.jpg")
    at = archive.rindex(b"PK\x05\x06")
    return archive[: at + 8] + struct.pack("<HHL", 1, 1, 2**31) + archive[at + 16 :]


PLAIN = zipped(("images/a.jpg", b"image"), ("labels/a.txt", b"0 .5 .5 .1 .1"))

REFUSED = {
    "U6-parent": (named("../../etc/x"), Code.PATH_TRAVERSAL),
    "U6-parent-inside": (named("images/../../x"), Code.PATH_TRAVERSAL),
    "U6-absolute": (named("/etc/passwd"), Code.PATH_TRAVERSAL),
    "U6-drive": (named("C:/x.jpg"), Code.PATH_TRAVERSAL),
    "U6-backslash-parent": (raw_name(b"..\\..\\x.jpg"), Code.PATH_TRAVERSAL),
    "U6-unc": (raw_name(b"\\\\host\\x.jpg"), Code.PATH_TRAVERSAL),
    "U6-nul": (raw_name(b"a.jpg\x00.txt"), Code.PATH_TRAVERSAL),
    "U7-symlink": (special(0o120777), Code.SPECIAL_FILE),
    "U7-fifo": (special(0o010644), Code.SPECIAL_FILE),
    "U7-device": (special(0o020644), Code.SPECIAL_FILE),
    "U7-socket": (special(0o140644), Code.SPECIAL_FILE),
    "U7-hard-link": (hard_link(), Code.SPECIAL_FILE),
    "U8-duplicate": (zipped(("a.jpg", b""), ("./a.jpg", b"")), Code.DUPLICATE_NAME),
    "U8-case": (zipped(("A.jpg", b""), ("a.jpg", b"")), Code.DUPLICATE_NAME),
    "U8-nfc": (zipped(("e\u0301.jpg", b""), ("\u00e9.jpg", b"")), Code.DUPLICATE_NAME),
    "U8-file-and-folder": (zipped(("a", b""), ("a/b.jpg", b"")), Code.DUPLICATE_NAME),
    "U9-encrypted": (with_flags(named("a.jpg"), 0x1), Code.ENCRYPTED),
    "U9-strongly-encrypted": (with_flags(named("a.jpg"), 0x41), Code.ENCRYPTED),
    "U9-deflate64": (with_method(9), Code.UNSUPPORTED_COMPRESSION),
    "U9-lzma": (with_method(14), Code.UNSUPPORTED_COMPRESSION),
    "U9-zstd": (with_method(93), Code.UNSUPPORTED_COMPRESSION),
    "U9-tar": (b"images/a.jpg".ljust(257, b"\0") + b"ustar\x0000", Code.ARCHIVE_CORRUPT),
    "U10-ratio": (bomb(), Code.ARCHIVE_BOMB),
    "U10-overlap": (overlapping(), Code.ARCHIVE_BOMB),
    "U10-member-size": (zipped(("a.jpg", bytes(100_001))), Code.ARCHIVE_BOMB),
    "U10-total-size": (zipped(*((f"{n}.jpg", bytes(90_000)) for n in range(3))), Code.ARCHIVE_BOMB),
    "U10-members": (many(), Code.ARCHIVE_BOMB),
    "U10-declared-members": (declared_many(), Code.ARCHIVE_BOMB),
    "U11-truncated": (PLAIN[:-30], Code.ARCHIVE_CORRUPT),
    "U11-directory-damaged": (PLAIN.replace(b"PK\x01\x02", b"PK\x01\x09"), Code.ARCHIVE_CORRUPT),
    "U11-header-missing": (PLAIN[:4] + PLAIN[4:].replace(b"PK\x03", b"PKX"), Code.ARCHIVE_CORRUPT),
    "U11-trailing": (PLAIN + b"x" * 100, Code.ARCHIVE_CORRUPT),
    "U11-trailing-byte": (PLAIN + b"\0", Code.ARCHIVE_CORRUPT),
    "U11-prefix": (b"#!/bin/sh\n" + PLAIN, Code.ARCHIVE_CORRUPT),
    "U11-two-archives": (named("first.jpg") + PLAIN, Code.ARCHIVE_CORRUPT),
    "U11-name-no-utf8": (with_flags(raw_name(b"\xff\xfe.jpg"), 0x800), Code.ARCHIVE_CORRUPT),
    "U11-empty-file": (b"", Code.ARCHIVE_CORRUPT),
}  # fmt: skip


def audited(path: Path, content: bytes, limits: Limits = SMALL) -> tuple[list[str], set[Code]]:
    """Return the names of the members (empty if refused) and the codes found."""
    path.write_bytes(content)
    findings = Findings()
    with open_archive(path, limits, findings) as archive:
        names = [member.name for member in archive.members] if archive else []
    return names, {finding.code for finding in findings.kept()}


class TestRefusedArchives:
    @pytest.mark.parametrize("row", REFUSED)
    def test_a_hostile_archive_is_refused_for_its_reason(self, row: str, tmp_path: Path) -> None:
        content, code = REFUSED[row]

        names, codes = audited(tmp_path / "a.zip", content)

        assert names == []
        assert code in codes

    def test_a_refusal_names_the_member_in_printable_characters(self, tmp_path: Path) -> None:
        path = tmp_path / "a.zip"
        path.write_bytes(raw_name(b"a.jpg\x00.txt"))
        findings = Findings()

        with open_archive(path, SMALL, findings):
            pass

        assert [finding.file for finding in findings.kept()] == ["a.jpg\\x00.txt"]


class TestAcceptedArchives:
    def test_a_plain_archive_is_read_back(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(PLAIN)
        findings = Findings()

        with open_archive(tmp_path / "a.zip", SMALL, findings) as archive:
            assert archive is not None
            contents = {member.name: archive.read(member) for member in archive.members}

        assert contents == {"images/a.jpg": b"image", "labels/a.txt": b"0 .5 .5 .1 .1"}

    def test_windows_separators_become_slashes(self, tmp_path: Path) -> None:
        names, codes = audited(tmp_path / "a.zip", raw_name(b"images\\train\\a.jpg"))

        assert (names, codes) == (["images/train/a.jpg"], set())

    def test_folders_are_no_members(self, tmp_path: Path) -> None:
        names, _ = audited(tmp_path / "a.zip", zipped(("images/", b""), ("images/a.jpg", b"")))

        assert names == ["images/a.jpg"]

    def test_zip64_is_read(self, tmp_path: Path) -> None:
        stream = io.BytesIO()
        with (
            zipfile.ZipFile(stream, "w") as archive,
            archive.open("images/a.jpg", "w", force_zip64=True) as member,
        ):
            member.write(b"image")
        content = stream.getvalue()
        at = content.rindex(b"PK\x05\x06")
        size, offset = struct.unpack_from("<LL", content, at + 12)
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, offset)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)

        names, codes = audited(tmp_path / "a.zip", content[:at] + record + locator + end)

        assert (names, codes) == (["images/a.jpg"], set())

    def test_a_comment_at_the_end_does_no_harm(self, tmp_path: Path) -> None:
        stream = io.BytesIO(PLAIN)
        with zipfile.ZipFile(stream, "a") as archive:
            archive.comment = b"made by a labelling tool"

        names, codes = audited(tmp_path / "a.zip", stream.getvalue())

        assert (len(names), codes) == (2, set())

    @pytest.mark.slow
    def test_a_hundred_thousand_members_are_audited_in_time(self, tmp_path: Path) -> None:
        content = zipped(*((f"images/train/{number:06d}.jpg", b"") for number in range(100_000)))
        started = time.monotonic()

        names, codes = audited(tmp_path / "a.zip", content, Limits())

        assert (len(names), codes) == (100_000, set())
        assert time.monotonic() - started < 30


class TestReadingMembers:
    def read_first(self, path: Path, content: bytes, limits: Limits = SMALL) -> bytes:
        path.write_bytes(content)
        with open_archive(path, limits, Findings()) as archive:
            assert isinstance(archive, Archive)
            return archive.read(archive.members[0])

    def test_a_wrong_crc_is_found_while_reading(self, tmp_path: Path) -> None:
        damaged = zipped(("a.jpg", b"pixels")).replace(b"pixels", b"pixelz")

        with pytest.raises(MemberCorruptError):
            self.read_first(tmp_path / "a.zip", damaged)

    def test_no_more_than_the_declared_size_comes_out(self, tmp_path: Path) -> None:
        with pytest.raises(MemberCorruptError):
            self.read_first(tmp_path / "a.zip", lying_size())

    def test_a_damaged_deflate_stream_is_found(self, tmp_path: Path) -> None:
        archive = zipped(("a.txt", os.urandom(50) * 40), method=zipfile.ZIP_DEFLATED)
        damaged = archive[:40] + bytes(20) + archive[60:]

        with pytest.raises(MemberCorruptError):
            self.read_first(tmp_path / "a.zip", damaged)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "safe"),
        [
            ("a/b.jpg", "a/b.jpg"),
            ("./a//b.jpg", "a/b.jpg"),
            ("a\\b.jpg", "a/b.jpg"),
            ("con", "con"),
            ("...", "..."),
            ("..", None),
            (".", None),
            ("", None),
            ("a/..", None),
            ("c:b", None),
        ],
    )
    def test_a_name_is_normalised_or_refused(self, name: str, safe: str | None) -> None:
        assert normalised_name(name) == safe


class TestLimitsOfMemory:
    def test_a_huge_directory_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        program = (
            "import sys, resource, pathlib\n"
            "from app.datasets.archives.audit import open_archive\n"
            "from app.datasets.reports.findings import Findings\n"
            "from app.datasets.reports.report import Limits\n"
            "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
            "found = Findings()\n"
            "with open_archive(pathlib.Path(sys.argv[1]), Limits(), found):\n"
            "    print([finding.code.value for finding in found.kept()])\n"
        )
        path = tmp_path / "a.zip"
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**31, 4, 0)
        with path.open("wb") as file:
            file.write(b"PK\x03\x04")
            file.truncate(2**31 + 4)
            file.seek(0, os.SEEK_END)
            file.write(end)

        said = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
        )

        assert said.stdout.strip() == "['archive-bomb']"
