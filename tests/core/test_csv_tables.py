"""A cell of a CSV is never a formula; every other cell is read back as it was."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.csv_tables import CsvTable


def written(*cells: str | float | None) -> list[str]:
    text = io.StringIO()
    CsvTable(text).write(cells)
    text.seek(0)
    (row,) = csv.reader(text)
    return row


class TestCsvTable:
    @pytest.mark.parametrize(
        "text",
        ["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1"],
    )
    def test_a_formula_is_text(self, text: str) -> None:
        assert written("a", text) == ["a", f"'{text}".replace("\r", "\n")]

    def test_numbers_stay_as_they_are(self) -> None:
        assert written(-1.5, 2, None, -3) == ["-1.5", "2", "", "-3"]

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")))
    def test_other_text_is_read_back(self, text: str) -> None:
        (_, cell) = written("a", text)

        assert cell.removeprefix("'") == text.removeprefix("'")
        assert cell[:1] not in set("=+-@\t\r\n")
