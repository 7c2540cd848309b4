"""Cursors that a client cannot forge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.pages import BadCursor, CursorSeal, Page

SEAL = CursorSeal(b"one secret")
POSITIONS = st.lists(
    st.one_of(st.text(), st.none(), st.floats(allow_nan=False, allow_infinity=False))
)


class TestCursorSeal:
    @given(POSITIONS)
    def test_a_position_comes_back_as_it_was(self, position: list[str | float | None]) -> None:
        assert SEAL.open("jobs", SEAL.seal("jobs", position)) == position

    @given(st.data())
    def test_a_changed_cursor_is_refused(self, data: st.DataObject) -> None:
        cursor = SEAL.seal("jobs", ["job_1"])
        at = data.draw(st.integers(0, len(cursor) - 2))
        other = data.draw(st.sampled_from("ABab01-_").filter(lambda c: c != cursor[at]))

        with pytest.raises(BadCursor):
            SEAL.open("jobs", cursor[:at] + other + cursor[at + 1 :])

    def test_a_cursor_of_another_list_is_refused(self) -> None:
        with pytest.raises(BadCursor):
            SEAL.open("jobs:name", SEAL.seal("jobs", ["job_1"]))

    def test_a_cursor_of_another_instance_is_refused(self) -> None:
        with pytest.raises(BadCursor):
            CursorSeal(b"another secret").open("jobs", SEAL.seal("jobs", ["job_1"]))

    @given(st.text(max_size=50))
    def test_made_up_text_is_refused(self, text: str) -> None:
        with pytest.raises(BadCursor):
            SEAL.open("jobs", text)


class TestPage:
    @pytest.mark.parametrize(
        ("rows", "shown", "following"),
        [([], [], None), ([1, 2], ["1", "2"], None), ([1, 2, 3], ["1", "2"], "after 2")],
        ids=["none", "all", "more"],
    )
    def test_a_page_has_a_cursor_only_where_more_rows_follow(
        self, rows: list[int], shown: list[str], following: str | None
    ) -> None:
        page = Page.of(rows, 2, seal=lambda row: f"after {row}", view=str)

        assert (page.data, page.next) == (shown, following)
        assert page.has_more == (following is not None)
