"""CONTRIBUTING.md is right about the test folders and about the files that it names."""

import re

from tests.architecture.sources import ROOT

MOST_MINUTES = 25.0

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
MINUTES = {
    folder: float(minutes)
    for folder, minutes in re.findall(r"^\| `(tests/[\w/]+)` \| ([\d.]+) \|", TEXT, re.MULTILINE)
}


class TestContributing:
    def test_every_test_folder_has_its_minutes(self) -> None:
        holds_tests = {path.parent for path in (ROOT / "tests").glob("*/**/test_*.py")}
        folders = {path.relative_to(ROOT).as_posix() for path in holds_tests}

        covered = {
            folder
            for folder in folders
            if any(folder == known or folder.startswith(f"{known}/") for known in MINUTES)
        }

        assert folders == covered

    def test_the_minutes_fit_into_ci(self) -> None:
        assert round(sum(MINUTES.values()), 1) <= MOST_MINUTES

    def test_the_documents_to_read_first_exist(self) -> None:
        rows = re.findall(r"^\| [^|`]+ \| (.*) \|$", TEXT, re.MULTILINE)
        paths = {path for row in rows for path in re.findall(r"`([\w./-]+[/.][\w./-]*)`", row)}

        assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
