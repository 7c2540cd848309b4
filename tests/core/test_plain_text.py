"""Which characters people can see, and how the others are shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.plain_text import (
    HiddenKind,
    first_hidden,
    is_plain,
    shown,
    shown_json,
    shown_lines,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""All of Unicode, lone surrogates included."""

HIDING = st.text(
    st.sampled_from(
        "a1#ل क🚂❤👩💻線\ufe0f\ufe0e\u20e3\u200b\u200c\u200d\u202e\u2066\u00ad\u3164\u2800"
        "\u061c\ufeff"
        "\U000e0041\U000e007f\U000e0100\U000e01ef\uffff\ue000\x00\x1b\x7f\x9b\n\u2028\ud800\U0001d173"
    )
)
"""Characters that are hidden everywhere or in some places, with their possible neighbours."""

NEVER = set("\x1b\x9b\x00\u200b\u202e\u2066\u2028\u3164\ufeff\uffff\U000e0041\U000e007f\ud800")


def hides_always(character: str) -> bool:
    """Return whether the character is hidden by its category, wherever it is."""
    category = unicodedata.category(character)
    return category in {"Cc", "Cs", "Co", "Zl", "Zp"} or character in NEVER


class TestIsPlain:
    @pytest.mark.parametrize(
        "text",
        [
            "žluť 線 🚂",
            "عربى",
            "می\u200cخواهم",  # noqa: RUF001 -- Persian
            "क्\u200dष",
            "👩\u200d💻",
            "❤\ufe0f\u200d🔥",
            "🏳\ufe0f\u200d🌈",
            "1\ufe0f\u20e3",
            "☎\ufe0e",
            "葛\U000e0100",
            "全角\u3000スペース",
            "10\u00a0km",
            "e\u0301",
            "\U0001fadf",
            "\U000323b0",
            "",
        ],
    )
    def test_text_of_all_scripts_and_emoji_is_plain(self, text: str) -> None:
        assert is_plain(text)

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            pytest.param("a\ud800", HiddenKind.LONE_SURROGATE, id="surrogate"),
            pytest.param("a\x00", HiddenKind.CONTROL, id="nul"),
            pytest.param("a\x1b[2J", HiddenKind.CONTROL, id="escape"),
            pytest.param("a\x9b", HiddenKind.CONTROL, id="c1"),
            pytest.param("a\u2028", HiddenKind.CONTROL, id="line-separator"),
            pytest.param("a\u202egpj", HiddenKind.BIDI_CONTROL, id="override"),
            pytest.param("a\u2066b", HiddenKind.BIDI_CONTROL, id="isolate"),
            pytest.param("a\u200fb", HiddenKind.BIDI_CONTROL, id="mark"),
            pytest.param("a\u200bb", HiddenKind.INVISIBLE, id="zero-width-space"),
            pytest.param("a\u200db", HiddenKind.INVISIBLE, id="joiner-in-latin"),
            pytest.param("می\u200c", HiddenKind.INVISIBLE, id="non-joiner-at-the-end"),
            pytest.param("👩\u200d", HiddenKind.INVISIBLE, id="joiner-at-the-end"),
            pytest.param("👩\u200d\u200d💻", HiddenKind.INVISIBLE, id="two-joiners"),
            pytest.param("か\u200dき", HiddenKind.INVISIBLE, id="joiner-in-kana"),
            pytest.param("a\ufe0f", HiddenKind.INVISIBLE, id="selector-in-latin"),
            pytest.param("1\ufe0f2", HiddenKind.INVISIBLE, id="selector-without-keycap"),
            pytest.param("😀\ufe0f\ufe0f", HiddenKind.INVISIBLE, id="two-selectors"),
            pytest.param("😀\U000e0141", HiddenKind.INVISIBLE, id="data-in-selectors"),
            pytest.param("\U000e0041\U000e007f", HiddenKind.INVISIBLE, id="tags"),
            pytest.param("a\uffff", HiddenKind.INVISIBLE, id="noncharacter"),
            pytest.param("a\U0001fffe", HiddenKind.INVISIBLE, id="astral-noncharacter"),
            pytest.param("a\ue000", HiddenKind.INVISIBLE, id="private-use"),
            pytest.param("a\u0378", HiddenKind.INVISIBLE, id="unassigned"),
            pytest.param("a\u3164", HiddenKind.INVISIBLE, id="hangul-filler"),
            pytest.param("a\u2800", HiddenKind.INVISIBLE, id="empty-braille"),
            pytest.param("a\u00ad", HiddenKind.INVISIBLE, id="soft-hyphen"),
            pytest.param("\ufeffa", HiddenKind.INVISIBLE, id="byte-order-mark"),
            pytest.param("\ufe0fa", HiddenKind.INVISIBLE, id="selector-at-the-start"),
        ],
    )
    def test_what_people_cannot_see_is_found(self, text: str, kind: HiddenKind) -> None:
        assert first_hidden(text) is kind

    @given(ANY_TEXT)
    def test_plain_text_has_no_character_that_is_always_hidden(self, text: str) -> None:
        assert not is_plain(text) or not any(map(hides_always, text))

    @given(HIDING)
    def test_plain_text_has_no_format_characters_but_joiners(self, text: str) -> None:
        formats = {each for each in text if unicodedata.category(each) == "Cf"}

        assert not is_plain(text) or formats <= {"\u200c", "\u200d"}


class TestShown:
    @given(ANY_TEXT | HIDING, st.integers(10, 300))
    def test_shown_text_is_plain_and_short(self, text: str, limit: int) -> None:
        found = shown(text, limit=limit)

        assert is_plain(found.removesuffix("…"))
        assert len(found) <= limit

    @given(ANY_TEXT | HIDING)
    def test_plain_text_is_shown_as_it_is(self, text: str) -> None:
        if is_plain(text) and len(text) <= 200:
            assert shown(text) == text

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("gpj.\u202etfos", r"gpj.\u202etfos"),
            ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
            ("a\nb", r"a\nb"),
            ("\U000e0041", r"\U000e0041"),
            ("\ud800", r"\ud800"),
            ("👩\u200d💻", "👩\u200d💻"),
        ],
    )
    def test_hidden_characters_are_shown_by_their_numbers(self, text: str, expected: str) -> None:
        assert shown(text) == expected

    def test_long_text_is_cut_with_a_sign(self) -> None:
        assert shown("x" * 60_004) == "x" * 199 + "…"

    @given(ANY_TEXT | HIDING)
    def test_lines_of_a_terminal_keep_their_ends_and_lose_nothing(self, text: str) -> None:
        found = shown_lines(text)

        assert first_hidden(found, allowed="\n\t") is None
        assert shown_lines(found) == found

    @given(st.dictionaries(HIDING, st.lists(HIDING)))
    def test_all_texts_of_a_document_are_shown(self, value: dict[str, list[str]]) -> None:
        found = shown_json(value)

        assert all(is_plain(key) for key in found)
        assert all(is_plain(text) for texts in found.values() for text in texts)

    def test_other_values_of_a_document_are_kept(self) -> None:
        value = {"a": [1, 2.5, None, True, "x" * 1000]}

        assert shown_json(value) == value
