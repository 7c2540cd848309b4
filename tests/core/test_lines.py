"""Lines of a growing text are numbered, found and searched as if the text were split at once."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import lines
from app.core.lines import (
    LONGEST_SEARCHED,
    LONGEST_SHOWN,
    LineIndex,
    LineIndexStore,
    LineMatches,
    LineQuery,
    Read,
    search,
)

TEXTS = st.lists(st.sampled_from([b"\n", b"a", b"B", b"ab", b"\xff", b"xyz\n"]), max_size=40).map(
    b"".join
)


@pytest.fixture(scope="module", autouse=True)
def _small_blocks() -> Iterator[None]:
    """Let a text of a few bytes have many blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK_BYTES", 5)
        yield


def reading(text: bytes, step: int = 3) -> Read:
    """Return a read of a text that yields pieces of `step` bytes."""

    def read(start: int, length: int) -> Iterator[bytes]:
        part = text[start : start + length]
        yield from (part[at : at + step] for at in range(0, len(part), step))

    return read


def split(text: bytes) -> list[bytes]:
    """Return the lines of a text with their ends."""
    parts = text.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + [parts[-1]] * bool(parts[-1])


def searched(text: bytes, wanted: LineQuery, first: int = 1) -> LineMatches:
    read = reading(text)
    start = LineIndex().extended(len(text), read).offset_of(first, read)
    return search(wanted, read, first=first, start=start, end=len(text))


class TestLineIndex:
    @given(TEXTS, st.lists(st.integers(0, 80), max_size=4))
    def test_an_index_that_grew_in_steps_knows_where_each_line_begins(
        self, text: bytes, sizes: list[int]
    ) -> None:
        index, read = LineIndex(), reading(text)

        for size in sorted(min(size, len(text)) for size in [*sizes, len(text)]):
            index = index.extended(size, read)

        expected = split(text)
        offsets = [index.offset_of(line + 1, read) for line in range(len(expected) + 1)]
        assert index.lines == len(expected)
        assert offsets == [len(b"".join(expected[:line])) for line in range(len(expected) + 1)]

    def test_a_grown_text_is_read_from_where_the_index_ended(self) -> None:
        read_from: list[int] = []

        def read(start: int, length: int) -> Iterator[bytes]:
            read_from.append(start)
            yield b"a\nb\nc\n"[start : start + length]

        LineIndex().extended(4, read).extended(6, read)

        assert read_from == [0, 4]


class TestLineIndexes:
    def test_indexes_beyond_the_most_are_forgotten_oldest_first(self) -> None:
        indexes, read_keys = LineIndexStore(most=2), []

        def ask(key: str) -> None:
            def read(start: int, length: int) -> Iterator[bytes]:
                read_keys.append(key)
                yield b"a\n"[start : start + length]

            indexes.index_of(key, 2, read)

        for key in ("a", "b", "a", "c", "a", "b"):
            ask(key)

        assert read_keys == ["a", "b", "c", "b"]

    def test_a_text_that_is_shorter_than_before_is_read_again(self) -> None:
        indexes = LineIndexStore()
        indexes.index_of("a", 6, reading(b"a\nb\nc\n"))

        assert indexes.index_of("a", 2, reading(b"x\n")).lines == 1


class TestSearch:
    @given(TEXTS, st.integers(0, 3), st.integers(1, 4), st.integers(1, 6))
    def test_a_search_finds_what_looking_at_each_line_finds(
        self, text: bytes, context: int, limit: int, first: int
    ) -> None:
        found = searched(text, LineQuery("Ab", context, limit), first)

        all_lines = list(enumerate(split(text), 1))[first - 1 :]
        hits = [number for number, line in all_lines if b"ab" in line.lower()]
        kept, more = hits[:limit], len(hits) > limit
        to = hits[limit] - 1 if more else all_lines[-1][0] if all_lines else first - 1
        shown = [
            (number, line.removesuffix(b"\n").decode(errors="replace"), number in kept)
            for number, line in all_lines
            if number <= to and any(abs(number - hit) <= context for hit in kept)
        ]
        assert [(it.number, it.text, it.matches) for it in found.lines] == shown
        assert found.more == more
        if all_lines:
            assert found.searched_to == to

    def test_a_line_without_end_is_searched_at_its_beginning_only(self) -> None:
        text = b"word" + b"x" * LONGEST_SEARCHED + b"word\nword\n"

        found = searched(text, LineQuery("word"))

        assert [(it.number, len(it.text)) for it in found.lines] == [(1, LONGEST_SHOWN), (2, 4)]

    def test_a_text_that_is_too_long_for_one_search_is_searched_on_from_where_it_ended(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lines, "MOST_SEARCHED", 6)
        text = b"a\nb\nc\nword\n"

        first = searched(text, LineQuery("word"))
        second = searched(text, LineQuery("word"), first.searched_to + 1)

        assert (first.lines, first.more, first.searched_to) == ((), True, 3)
        assert [it.number for it in second.lines] == [4]
