"""docs/faults.md has every row once and names only tests that exist."""

import re

import pytest

from tests.architecture.sources import ROOT
from tests.docs.real_names import names_in

pytestmark = pytest.mark.unit

ROWS = [
    *(f"D{number}" for number in range(1, 11)),
    *(f"Q{number}" for number in range(1, 9)),
    *(f"K{number}" for number in range(1, 12)),
    *(f"R{number}" for number in (1, 2, 9, 10, 11, 12, 13)),
    *(f"S{number}" for number in range(1, 7)),
    *(f"C{number}" for number in range(1, 5)),
    *(f"U{number}" for number in range(1, 26)),
    *(f"T{number}" for number in range(1, 6)),
    *(f"I{number}" for number in range(1, 4)),
]
TEXT = (ROOT / "docs" / "faults.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)


class TestFaults:
    def test_the_page_of_faults_has_every_row_once(self) -> None:
        assert re.findall(r"^\| ([A-Z]\d+) \|", TEXT, re.MULTILINE) == ROWS

    def test_the_page_of_faults_names_over_forty_tests(self) -> None:
        assert len(NAMED) > 40

    @pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
    def test_the_page_of_faults_names_tests_that_exist(self, path: str, name: str) -> None:
        assert not name or name in names_in(path)

    def test_the_check_sees_a_name_that_is_missing(self) -> None:
        assert "test_has_every_row_twice" not in names_in("tests/docs/test_faults.py")
