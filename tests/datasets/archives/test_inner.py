"""An archive that is the only content of another, and what all levels together may hold."""

from pathlib import Path

import pytest

from app.datasets.reports.finding_codes import Code
from tests.datasets.archives.opening import SMALL, contents, opened, zipped
from tests.datasets.hostile_archives import zipped as zipped_files
from tests.datasets.tars import gzipped, tarred

FILES = {"images/a.jpg": b"image" * 200, "labels/a.txt": b"0 .5 .5 .1 .1"}
ZIP = zipped_files(FILES)

ACCEPTED = {
    "zip-in-zip": zipped_files({"set.zip": ZIP}),
    "zip-in-a-folder": zipped_files({"my set/Set.ZIP": ZIP}),
    "zip-in-zip-in-zip": zipped_files({"a.zip": zipped_files({"b.zip": ZIP})}),
    "tar-in-zip": zipped_files({"set.tar": tarred(FILES)}),
    "tgz-in-zip": zipped_files({"set.tgz": gzipped(tarred(FILES))}),
    "zip-in-tar": tarred({"set.zip": ZIP}),
    "zip-in-tgz": gzipped(tarred({"set.zip": ZIP})),
    "zip-in-gzip": gzipped(ZIP),
    "beside-documents": zipped_files(
        {"README.txt": b"", "LICENSE": b"", "about.pdf": b"", "__MACOSX/._set.zip": b"x"}
        | {".DS_Store": b"", "set.zip": ZIP, "set.zip.md5": b""}
    ),
}

BOMB = zipped(*((f"{number}.bmp", bytes(15_000)) for number in range(9)), method=8)
REFUSED = {
    "ratio-over-levels": (zipped(("a.zip", zipped(("b.zip", BOMB), method=8)), method=8), "bomb"),
    "ratio-of-tar-in-zip": (
        zipped(("a.tgz", gzipped(tarred({"a.bmp": bytes(90_000)}))), method=8),
        "bomb",
    ),
    "members-over-levels": (
        tarred({f"{n}.md": b"" for n in range(30)} | {"a.zip": zipped_files(dict.fromkeys(
            (f"{n}.jpg" for n in range(30)), b"x"))}),
        "bomb",
    ),
    "four-levels": (
        zipped_files({"a.zip": zipped_files({"b.zip": zipped_files({"c.zip": ZIP})})}),
        "bomb",
    ),
    "damaged": (zipped_files({"set.zip": ZIP[:-100]}), "corrupt"),
    "no-archive": (zipped_files({"set.zip": b"x" * 600}), "corrupt"),
    "hostile-name-inside": (zipped_files({"set.zip": zipped(("../a", b"x"))}), "traversal"),
    "rar-in-zip": (zipped_files({"set.rar": b"Rar!\x1a\x07\x01\x00" + bytes(600)}), "unread"),
    "two-archives": (zipped_files({"train.zip": ZIP, "val.zip": ZIP}), "unread"),
}  # fmt: skip
CODES = {
    "bomb": Code.ARCHIVE_BOMB,
    "corrupt": Code.ARCHIVE_CORRUPT,
    "traversal": Code.PATH_TRAVERSAL,
    "unread": Code.FORMAT_UNREAD,
}


class TestInnerArchives:
    @pytest.mark.parametrize("row", ACCEPTED)
    def test_the_only_archive_inside_is_read(self, row: str, tmp_path: Path) -> None:
        assert contents(tmp_path, ACCEPTED[row]) == FILES

    @pytest.mark.parametrize("row", REFUSED)
    def test_a_hostile_inner_archive_is_refused_for_its_reason(
        self, row: str, tmp_path: Path
    ) -> None:
        content, code = REFUSED[row]

        names, findings = opened(tmp_path, content)

        assert names is None
        assert CODES[code] in {found.code for found in findings}

    def test_a_finding_names_the_archive_that_was_read(self, tmp_path: Path) -> None:
        _, findings = opened(tmp_path, ACCEPTED["zip-in-zip"])

        assert [(found.code, found.file) for found in findings] == [(Code.INNER_ARCHIVE, "set.zip")]

    def test_an_archive_beside_data_is_a_file_like_others(self, tmp_path: Path) -> None:
        names, findings = opened(tmp_path, zipped_files(FILES | {"old.zip": ZIP}))

        assert (names, findings) == ([*FILES, "old.zip"], [])

    def test_an_inner_archive_may_be_larger_than_a_member(self, tmp_path: Path) -> None:
        inner = zipped(*((f"{number}.jpg", bytes(range(250)) * 200) for number in range(2)))

        assert len(inner) > SMALL.max_member_bytes
        assert len(contents(tmp_path, tarred({"set.zip": inner}))) == 2

    def test_a_damaged_inner_archive_is_named(self, tmp_path: Path) -> None:
        content = zipped(("set.zip", ZIP))
        at = content.index(b"images/a.jpg") + 20

        _, findings = opened(tmp_path, content[:at] + b"\xff\xff" + content[at + 2 :])

        assert [(found.code, found.file) for found in findings] == [
            (Code.ARCHIVE_CORRUPT, "set.zip")
        ]
