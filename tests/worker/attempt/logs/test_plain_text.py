"""Logs are readable as plain text, and reveal nothing about the machine that wrote them."""

import sys
import traceback
from pathlib import Path

import pytest

import worker
from worker.attempt.logs.plain_text import (
    LONGEST_LINE_BYTES,
    PlainText,
    folders_of_this_machine,
    whole_lines,
)

pytestmark = pytest.mark.unit

ATTEMPT = Path("/srv/trainyard/worker/attempts/job_1-1")
HOME = Path("/srv/trainyard")


def plain(written: str, *folders: Path) -> str:
    return PlainText(folders or (ATTEMPT, HOME, Path("/app"))).of(written.encode()).decode()


class TestTerminalCodes:
    @pytest.mark.parametrize(
        ("written", "shown"),
        [
            ("\x1b[34m\x1b[1mtrain: \x1b[0mNo labels found", "train: No labels found"),
            ("\x1b[38;2;1;2;3mred\x1b[m", "red"),
            ("\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
            ("\x1b]0;a title\x07text", "text"),
            ("\x1b]8;;https://example.org\x1b\\a link\x1b]8;;\x1b\\", "a link"),
            ("\x1b(Bcharacter set\x1b=", "character set"),
            ("\x9b31mone character\x9b0m", "one character"),
            ("bell\x07, back\x08space, zero\x00", "bell, backspace, zero"),
            ("cut off \x1b", "cut off "),
            ("\x1b[1", "1"),
        ],
    )
    def test_terminal_codes_are_removed_from_a_log(self, written: str, shown: str) -> None:
        assert plain(written) == shown

    @pytest.mark.parametrize("written", ["\tTab", "🚀 ⚠️ é 0.0±0.0 ms", "a\n\nb\n", "[1m", ""])
    def test_other_text_of_a_log_stays_as_it_is(self, written: str) -> None:
        assert plain(written) == written

    def test_bytes_that_are_not_utf_8_stay_as_they_are(self) -> None:
        written = bytes(range(0x80, 0x100)) + b"\n"

        assert PlainText([HOME]).of(written) == written


class TestOverwrittenText:
    @pytest.mark.parametrize(
        ("written", "shown"),
        [
            ("\r\x1b[K 10%\r\x1b[K 50%\r\x1b[K100%\nnext\n", "100%\nnext\n"),
            ("10%\r50%\r100%\r\nnext\r\n", "100%\nnext\n"),
            ("one\ntwo\rthree\nfour\n", "one\nthree\nfour\n"),
            ("unfinished 1%\runfinished 2%", "unfinished 2%"),
        ],
    )
    def test_the_last_text_of_a_progress_bar_stays(self, written: str, shown: str) -> None:
        assert plain(written) == shown


class TestFolders:
    @pytest.mark.parametrize(
        ("written", "shown"),
        [
            (f"Logging results to {ATTEMPT}/run", "Logging results to run"),
            (f"data={ATTEMPT}/dataset/data.yaml, device=cpu", "data=dataset/data.yaml, device=cpu"),
            (f'File "{ATTEMPT}/run/a.py", line 1', 'File "run/a.py", line 1'),
            (f"no space in {ATTEMPT}.", "no space in job_1-1."),
            (f"['{HOME}/worker/datasets/dsv_1']", "['worker/datasets/dsv_1']"),
            (f"home is '{HOME}/'", "home is 'trainyard/'"),
            (
                "/srv/trainyard-2/x and /srv/trainyard.old",
                "/srv/trainyard-2/x and /srv/trainyard.old",
            ),
            ("file:///app/x, cc '-I/app/include'", "file://x, cc '-Iinclude'"),
            (
                "https://example.org/app/x ./app/x sub/app/x",
                "https://example.org/app/x ./app/x sub/app/x",
            ),
        ],
    )
    def test_paths_below_a_folder_become_relative_to_it(self, written: str, shown: str) -> None:
        assert plain(written) == shown

    def test_a_folder_is_also_known_by_the_path_that_its_link_leads_to(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")

        shown = plain(f"{tmp_path}/real/a {tmp_path}/link/b", tmp_path / "link")

        assert shown == "a b"

    def test_the_folders_of_this_machine_hold_our_code_its_packages_and_the_library(self) -> None:
        text = PlainText(folders_of_this_machine(ATTEMPT, HOME))
        files = [Path(worker.__file__), Path(pytest.__file__), Path(traceback.__file__)]
        written = "".join(f'  File "{file}", line 1\n' for file in files)

        shown = text.of(written.encode()).decode().splitlines()

        assert [line.split('"')[1] for line in shown] == [
            "worker/__init__.py",
            "pytest/__init__.py",
            "traceback.py",
        ]

    def test_a_relative_or_empty_part_of_the_search_path_is_no_folder_to_hide(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "path", ["", "/", "relative", "/opt/plugins"])

        folders = folders_of_this_machine(ATTEMPT, HOME)

        assert Path("/opt/plugins") in folders
        assert not {Path(), Path("/"), Path("relative")} & set(folders)


class TestWholeLines:
    def test_output_is_split_behind_its_last_line_end(self) -> None:
        assert whole_lines(b"one\ntwo\nthr") == (b"one\ntwo\n", b"thr")

    def test_an_unfinished_progress_bar_keeps_only_its_last_text(self) -> None:
        assert whole_lines(b"one\n1%\r2%\r3%\r") == (b"one\n", b"3%\r")

    def test_a_very_long_line_is_split_behind_its_last_space(self) -> None:
        long = b"x" * LONGEST_LINE_BYTES + b" "

        assert whole_lines(b"one\n" + long + b"rest") == (b"one\n" + long, b"rest")

    def test_a_very_long_line_without_spaces_is_not_kept_back(self) -> None:
        long = b"x" * (LONGEST_LINE_BYTES + 1)

        assert whole_lines(long) == (long, b"")
