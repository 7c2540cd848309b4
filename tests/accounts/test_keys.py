"""The text form of API keys."""

from hypothesis import given
from hypothesis import strategies as st

from app.accounts.keys import ALPHABET, new_key, parse_key
from app.accounts.tables import KeyKind

KINDS = st.sampled_from(KeyKind)


class TestKeyText:
    @given(KINDS)
    def test_a_key_is_read_back_as_it_was_made(self, kind: KeyKind) -> None:
        key = new_key(kind)

        assert parse_key(str(key)) == key

    @given(st.data())
    def test_a_mistyped_key_is_no_key(self, data: st.DataObject) -> None:
        text = str(new_key(KeyKind.USER))
        at = data.draw(st.integers(len("trainyard_user_"), len(text) - 1))
        # What is drawn must not depend on the key, which is random.
        place = data.draw(st.integers(0, len(ALPHABET) - 2))
        other = [letter for letter in ALPHABET if letter != text[at]][place]

        assert parse_key(text[:at] + other + text[at + 1 :]) is None

    @given(st.text())
    def test_any_other_text_is_no_key(self, text: str) -> None:
        assert parse_key(text) is None

    def test_no_two_keys_are_equal(self) -> None:
        assert len({str(new_key(KeyKind.USER)) for _ in range(100)}) == 100
