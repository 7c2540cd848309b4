"""The names of members: their encoding, and what long and deep ones cost."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.report import Limits
from tests.datasets.archives.opening import opened
from tests.datasets.builders import with_flags
from tests.datasets.tars import END, entry


def zip_with_names(*names: bytes, extra: bytes = b"") -> bytes:
    """Return a zip with names as another tool wrote them, without the flag for UTF-8."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, name in enumerate(names):
            member = zipfile.ZipInfo(f"{number:04d}".ljust(len(name), "N"))
            member.extra = extra
            archive.writestr(member, b"x")
    content = stream.getvalue()
    for number, name in enumerate(names):
        content = content.replace(f"{number:04d}".ljust(len(name), "N").encode(), name)
    return content


def tar_with_names(*names: bytes) -> bytes:
    return b"".join(entry(name, b"x") for name in names) + END


def unicode_path(raw: bytes, name: str) -> bytes:
    content = struct.pack("<BL", 1, zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x7075, len(content)) + content


CHINESE = ["train/圆盘/a0.jpg", "train/圆环/a1.jpg", "val/圆盘/a2.jpg"]
JAPANESE = ["train/ねこ/表示.jpg", "train/犬/能力.jpg", "val/自転車/テスト.jpg"]
RUSSIAN = ["train/кошка/фото.jpg", "train/собака/фото.jpg"]
FRENCH = ["train/café/à.jpg", "train/forêt/élève.jpg", "val/île/père.jpg"]
GERMAN = ["train/Müller/Straße.jpg", "val/Äpfel/groß.jpg"]

LEGACY = {
    "gbk": ("gbk", CHINESE),
    "shift-jis": ("cp932", JAPANESE),
    "cp1251": ("cp1251", RUSSIAN),
    "cp866": ("cp866", RUSSIAN),
    "cp437": ("cp437", [name for name in FRENCH if "À" not in name]),
    "cp1252": ("cp1252", FRENCH),
    "german-cp437": ("cp437", GERMAN),
    "german-cp1252": ("cp1252", GERMAN),
}
BUILDERS = {"zip": zip_with_names, "tar": tar_with_names}


class TestEncodings:
    @pytest.mark.parametrize("kind", BUILDERS)
    @pytest.mark.parametrize("row", LEGACY)
    def test_a_legacy_encoding_is_told_from_all_names(
        self, row: str, kind: str, tmp_path: Path
    ) -> None:
        encoding, expected = LEGACY[row]

        names, findings = opened(
            tmp_path, BUILDERS[kind](*(name.encode(encoding) for name in expected))
        )

        assert names == expected
        assert [found.code for found in findings] == [Code.NAMES_DECODED]
        assert encoding in findings[0].message

    @pytest.mark.parametrize("kind", BUILDERS)
    def test_utf_8_needs_no_flag_and_no_finding(self, kind: str, tmp_path: Path) -> None:
        expected = [*CHINESE, *FRENCH]

        names, findings = opened(tmp_path, BUILDERS[kind](*(name.encode() for name in expected)))

        assert (names, findings) == (expected, [])

    @pytest.mark.parametrize(
        "names",
        [
            [b"train/\xff\xfe\xfd.jpg"],
            [b"train/\x80\x81\x82\x83.jpg", b"\xf1\xf2\xf3.jpg"],
            ["圆盘.jpg".encode(), "кошка.jpg".encode("cp1251"), "café.jpg".encode("cp1252")],
        ],
    )
    def test_names_that_no_encoding_explains_are_refused(
        self, names: Sequence[bytes], tmp_path: Path
    ) -> None:
        found_names, findings = opened(tmp_path, zip_with_names(*names))

        assert (found_names, [found.code for found in findings]) == (None, [Code.NAMES_UNDECIDED])
        assert findings[0].file is not None
        assert findings[0].file.isascii()

    def test_the_unicode_name_of_info_zip_is_used(self, tmp_path: Path) -> None:
        raw = b"c?ts/\x9b.jpg"

        names, findings = opened(tmp_path, zip_with_names(raw, extra=unicode_path(raw, "猫.jpg")))

        assert (names, findings) == (["猫.jpg"], [])

    def test_the_unicode_name_of_another_name_is_not_used(self, tmp_path: Path) -> None:
        raw = "café.jpg".encode("cp437")
        extra = unicode_path(b"renamed", "猫.jpg")

        names, _ = opened(tmp_path, zip_with_names(raw, extra=extra))

        assert names == ["café.jpg"]

    def test_a_unicode_name_is_audited_too(self, tmp_path: Path) -> None:
        raw = b"caf\x82.jpg"
        extra = unicode_path(raw, "../../猫.jpg")

        names, findings = opened(tmp_path, zip_with_names(raw, extra=extra))

        assert (names, [found.code for found in findings]) == (None, [Code.PATH_TRAVERSAL])

    def test_a_name_marked_as_utf_8_must_be_utf_8(self, tmp_path: Path) -> None:
        content = with_flags(zip_with_names(b"\xff\xfe.jpg"), 0x800)

        names, findings = opened(tmp_path, content)

        assert (names, [found.code for found in findings]) == (None, [Code.ARCHIVE_CORRUPT])

    def test_a_backslash_within_a_character_is_no_separator(self, tmp_path: Path) -> None:
        expected = "train/表/能ソ.jpg"
        assert b"\\" in expected.encode("cp932")

        names, _ = opened(tmp_path, zip_with_names(expected.encode("cp932")))

        assert names == [expected]


class TestLongNames:
    @pytest.mark.parametrize(
        "name", [b"d/" * 32_000 + b"a.jpg", b"d\\" * 65 + b"a.jpg", b"d" * 5000]
    )
    def test_a_deep_or_long_name_is_refused(self, name: bytes, tmp_path: Path) -> None:
        names, findings = opened(tmp_path, zip_with_names(name))

        assert (names, [found.code for found in findings]) == (None, [Code.NAME_TOO_LONG])
        assert len(findings[0].file or "") <= 300

    def test_all_names_together_are_bounded(self, tmp_path: Path) -> None:
        names, findings = opened(
            tmp_path, zip_with_names(b"a" * 600, b"b" * 600), Limits(max_names_characters=1000)
        )

        assert (names, [found.code for found in findings]) == (None, [Code.NAME_TOO_LONG])

    def test_a_name_of_64_folders_is_accepted(self, tmp_path: Path) -> None:
        names, findings = opened(tmp_path, zip_with_names(b"d/" * 64 + b"a.jpg"))

        assert (names, findings) == (["d/" * 64 + "a.jpg"], [])
