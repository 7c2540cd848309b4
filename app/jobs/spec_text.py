"""The text types of the spec: what may stand in names, notes and tags, and how references look.

Text reaches logs, terminals, file names and HTML: nothing gets in that could forge a line, hide a
character or turn the reading direction around.
"""

from typing import Annotated, Final
from unicodedata import category

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

_BIDI_CONTROLS: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_LINE_BREAKS_BEYOND_ASCII: Final = frozenset({"Zl", "Zp"})
_ULID: Final = "[0-7][0-9A-HJKMNP-TV-Z]{25}"

DATASET_PATTERN: Final = f"^(ds|dsv)_{_ULID}$"
DATASET_VERSION_PATTERN: Final = f"^dsv_{_ULID}$"
MODEL_PATTERN: Final = rf"^([A-Za-z0-9][A-Za-z0-9._-]{{0,95}}\.(pt|yaml)|(mdl|job)_{_ULID})$"
SLUG_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
TAG_KEY_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"


def plain_text(value: str) -> str:
    """Return the text, or refuse it for a character that cannot be stored or cannot be seen."""
    return _without_hidden_characters(value, allowed="")


def plain_lines(value: str) -> str:
    """Return the text like `plain_text`, with newline and tab allowed."""
    return _without_hidden_characters(value, allowed="\n\t")


PlainText = Annotated[str, AfterValidator(plain_text)]
PlainLines = Annotated[str, AfterValidator(plain_lines)]

Name = Annotated[PlainText, Field(min_length=1, max_length=200)]
Notes = Annotated[PlainLines, Field(max_length=10_000)]
TagKey = Annotated[str, StringConstraints(pattern=TAG_KEY_PATTERN)]
TagValue = Annotated[PlainText, Field(max_length=200)]
Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]


def _without_hidden_characters(value: str, *, allowed: str) -> str:
    for character in value:
        if character not in allowed:
            _refuse_if_hidden(character)
    return value


def _refuse_if_hidden(character: str) -> None:
    kind = category(character)
    if kind == "Cs":
        raise PydanticCustomError(
            "lone_surrogate", "Text must be valid Unicode, without lone surrogates."
        )
    if kind == "Cc" or kind in _LINE_BREAKS_BEYOND_ASCII:
        raise PydanticCustomError("control_character", "Text must not hold control characters.")
    if character in _BIDI_CONTROLS:
        raise PydanticCustomError(
            "bidi_control", "Text must not hold characters that change the reading direction."
        )
