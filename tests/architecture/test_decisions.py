"""Decision records: numbered without gaps, each with the five parts that make one useful."""

from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

RECORDS = sorted((ROOT / "docs/decisions").glob("*.md"))
PARTS = ("Context", "Decision", "Alternatives", "Consequences", "Enforced by")


class TestDecisions:
    def test_numbers_run_from_one_without_gaps(self) -> None:
        numbers = [int(path.name[:4]) for path in RECORDS]

        assert numbers == list(range(1, len(RECORDS) + 1))

    @pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
    def test_each_has_its_number_as_title_and_five_parts(self, path: Path) -> None:
        text = path.read_text()

        assert text.startswith(f"# {path.name[:4]} ")
        assert [part for part in PARTS if f"**{part}.**" not in text] == []
