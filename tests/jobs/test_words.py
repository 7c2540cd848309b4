"""Names are split into words, and searches into what they ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.words import MAX_WORD, MAX_WORDS, words_of
from app.jobs.search import Search, search_of


class TestWordsOf:
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("", set()),
            ("night shift", {"night", "shift"}),
            ("night-shift_2/yolo.v3", {"night", "shift", "2", "yolo", "v3"}),
            ("BloodCells", {"bloodcells", "cells"}),
            ("HTTPServer2", {"httpserver2"}),
            ("Größe STRASSE", {"grösse", "strasse"}),
            ("ﬁne", {"fine"}),
            ("e\u0301te\u0301", {"été"}),
            ("हिन्दी परीक्षण", {"हिन्दी", "परीक्षण"}),
            ("検査 2", {"検査", "2"}),
            ("lr=0.01", {"lr", "0", "01"}),
            ("🚀", set()),
        ],
    )
    def test_a_name_has_the_words_that_people_see(self, name: str, words: set[str]) -> None:
        assert words_of(name) == words

    @given(st.text(max_size=200))
    def test_words_are_bounded_whatever_the_name_is(self, name: str) -> None:
        words = words_of(name)

        assert len(words) <= MAX_WORDS
        assert all(0 < len(word) <= MAX_WORD for word in words)

    @given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20))
    def test_a_search_for_a_name_finds_it(self, name: str) -> None:
        asked = search_of(name).words

        found = words_of(name)

        assert all(any(word.startswith(part) for word in found) for part in asked)


class TestSearchOf:
    @pytest.mark.parametrize(
        ("text", "search"),
        [
            ("Night  shift", Search(words=("night", "shift"))),
            ("night-sh", Search(words=("night", "sh"))),
            ("line=4 night", Search(words=("night",), tags=(("line", "4"),))),
            ("line= note=a=b", Search(tags=(("line", ""), ("note", "a=b")))),
            ("=4", Search(words=("4",))),
            ("job_01", Search(ids=(("job_01" + "0" * 24, "job_01" + "Z" * 24),))),
            ("job_01jd", Search(ids=(("job_01JD" + "0" * 22, "job_01JD" + "Z" * 22),))),
            ("job_9", Search(words=("job", "9"))),
            ("job", Search(words=("job",))),
            ("- _", Search()),
        ],
    )
    def test_parts_are_words_tags_and_beginnings_of_ids(self, text: str, search: Search) -> None:
        assert search_of(text) == search
