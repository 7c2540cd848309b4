r"""Text that people can see: which characters names may have, and how all others are shown.

Text of users appears in logs, terminals, file names and web pages. There, some characters forge a
line, control the terminal, reverse the reading direction, or are invisible, so that two names look
the same. Names that a user types are refused if they have one of these; text that comes from an
archive, a model or a program is shown with escapes instead (`\u202e`).

The trainer imports this module too, so it imports only the standard library.
"""

import re
import unicodedata
from enum import StrEnum
from typing import Any, Final

MAX_SHOWN_CHARACTERS: Final = 200

_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""`Default_Ignorable_Code_Point` of Unicode 16, U+2800 (an empty braille cell), U+FFF9 to U+FFFB,
U+1D159 (a note without a head). Some are letters or marks by their category. Tags, U+E0000 to
U+E007F, can hide whole sentences."""

_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_NEW_PICTOGRAPHS: Final = re.compile("[\U0001f000-\U0001faff]")
_NEW_IDEOGRAPHS: Final = re.compile("[\U00020000-\U0002fffd\U00030000-\U0003fffd]")
"""Blocks whose unassigned characters will be visible: newer than this Python's Unicode."""

_PICTOGRAPH: Final = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_KEYCAP: Final = re.compile("[#*0-9]\ufe0f\u20e3")
_VARIATION: Final = re.compile("[\ufe00-\ufe0f]")
_IDEOGRAPHIC_VARIATION: Final = re.compile("[\U000e0100-\U000e01ef]")
_IDEOGRAPH: Final = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]")
_JOINING_SCRIPT: Final = re.compile("[\u0600-\u109f\u1780-\u18af\ua840-\uabff\ufb50-\ufdff]")
"""Arabic, Syriac, the scripts of India and of South East Asia, Mongolian: a joiner or non-joiner
between two of their letters changes how a word is written."""

_ZWNJ: Final = "\u200c"
_ZWJ: Final = "\u200d"
_DIRECTIONS: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class HiddenKind(StrEnum):
    """Kinds of characters that plain text does not have."""

    LONE_SURROGATE = "lone_surrogate"
    CONTROL = "control_character"
    BIDI_CONTROL = "bidi_control"
    INVISIBLE = "invisible_character"


def is_plain(text: str) -> bool:
    """Return whether people can see every character of the text. Spaces of any width count."""
    return first_hidden(text) is None


def first_hidden(text: str, *, allowed: str = "") -> HiddenKind | None:
    """Return the kind of the first character that people cannot see, or None.

    Joiners inside emoji and words of scripts that use them, and variation selectors behind the
    character that they change, are part of what is seen.

    Args:
        text: any text, also with lone surrogates.
        allowed: control characters that the text may have, such as line ends.
    """
    if text.isascii() and text.isprintable():
        return None
    for index, character in enumerate(text):
        if _is_hidden(text, index) and character not in allowed:
            return _kind(character)
    return None


def shown(text: str, *, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return the text with its hidden characters escaped, and cut to `limit` characters."""
    start = text[: limit + 1]
    if not (start.isascii() and start.isprintable()):
        start = "".join(
            _escaped(character) if _is_hidden(start, index) else character
            for index, character in enumerate(start)
        )
    if len(start) <= limit:
        return start
    return start[: limit - 1].rstrip(_ZWJ + _ZWNJ + "\ufe0e\ufe0f") + "…"


def shown_lines(text: str) -> str:
    """Return a text of several lines, whole, for a terminal: newlines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(character) if _is_hidden(text, index) and character not in "\n\t" else character
        for index, character in enumerate(text)
    )


def shown_json(value: Any) -> Any:  # noqa: ANN401 -- JSON, of the same type as the result
    """Return a JSON value whose texts and keys are shown, see `shown`; they are not cut."""
    match value:
        case str():
            return shown(value, limit=max(MAX_SHOWN_CHARACTERS, 12 * len(value)))
        case list():
            return [shown_json(item) for item in value]
        case dict():
            return {shown_json(key): shown_json(item) for key, item in value.items()}
    return value


def _is_hidden(text: str, index: int) -> bool:
    character = text[index]
    if _INVISIBLE.match(character) is not None:
        return not _belongs(text, index)
    category = unicodedata.category(character)
    if category == "Cn":
        return not (_NEW_PICTOGRAPHS.match(character) or _NEW_IDEOGRAPHS.match(character))
    return category in _UNPRINTABLE


def _belongs(text: str, index: int) -> bool:
    """Return whether an invisible character changes a visible one before it."""
    character, after = text[index], text[index + 1 : index + 2]
    before = text[max(0, index - 1) : index]
    if _VARIATION.match(character):
        varies = _PICTOGRAPH.match(before) or _IDEOGRAPH.match(before)
        return varies is not None or _KEYCAP.fullmatch(text[index - 1 : index + 2]) is not None
    if _IDEOGRAPHIC_VARIATION.match(character):
        return _IDEOGRAPH.match(before) is not None
    if character not in {_ZWJ, _ZWNJ}:
        return False
    if _is_in(_JOINING_SCRIPT, before) and _is_in(_JOINING_SCRIPT, after):
        return True
    base = text[max(0, index - 2) : index - 1] if _VARIATION.match(before) else before
    joins = _PICTOGRAPH.match(base) and _PICTOGRAPH.match(after)
    return character == _ZWJ and joins is not None


def _is_in(script: re.Pattern[str], character: str) -> bool:
    return script.match(character) is not None and _INVISIBLE.match(character) is None


def _kind(character: str) -> HiddenKind:
    category = unicodedata.category(character)
    if category == "Cs":
        return HiddenKind.LONE_SURROGATE
    if _DIRECTIONS.match(character):
        return HiddenKind.BIDI_CONTROL
    if category in {"Cc", "Zl", "Zp"}:
        return HiddenKind.CONTROL
    return HiddenKind.INVISIBLE


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
