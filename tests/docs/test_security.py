"""docs/security.md lists every attack once, with tests that exist or with what it waits for."""

import re

import pytest

from tests.architecture.sources import ROOT
from tests.docs.real_names import names_in

ATTACKS = {
    "H": 22, "A": 17, "U": 25, "J": 10, "R": 8, "W": 6, "B": 10,
    "D": 10, "Q": 8, "K": 11, "S": 6, "C": 4, "P": 10,
}  # fmt: skip
"""How many attacks each letter has."""
TEXT = (ROOT / "docs/security.md").read_text()
TABLE = TEXT.partition("<!-- attacks: begin -->")[2].partition("<!-- attacks: end -->")[0]
ROWS = {
    cells[0]: cells[1:]
    for line in TABLE.splitlines()[3:]
    if len(cells := [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]) == 4
}
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+(?:\.py|/))(?:::(\w+))?(?:::\w+)*`", TABLE)))


def test_the_page_has_every_attack_once() -> None:
    wanted = [f"{letter}{n}" for letter, count in ATTACKS.items() for n in range(1, count + 1)]

    assert sum(ATTACKS.values()) == 147
    assert [line.split("|")[1].strip() for line in TABLE.splitlines()[3:] if line] == wanted


def test_an_attack_without_a_test_says_what_it_waits_for() -> None:
    untested = {row: cells[1] for row, cells in ROWS.items() if "`tests/" not in cells[2]}

    assert all(answer.startswith("waits") for answer in untested.values()), untested
    assert len(untested) < 25


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_the_page_names_tests_that_exist(path: str, name: str) -> None:
    assert (ROOT / path).exists()
    assert not name or name in names_in(path)
