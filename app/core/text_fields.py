"""Validators of fields with text that users type: names, notes and labels."""

from typing import Final

from pydantic_core import PydanticCustomError

from app.core.errors import FieldError, Invalid
from app.core.plain_text import HiddenKind, first_hidden

MAX_NAME_CHARACTERS: Final = 200

_REFUSALS: Final = {
    HiddenKind.LONE_SURROGATE: "Text must be Unicode without lone surrogates.",
    HiddenKind.CONTROL: "Text must not contain control characters.",
    HiddenKind.BIDI_CONTROL: (
        "Text must not contain characters that change the reading direction."
    ),
    HiddenKind.INVISIBLE: "Text must not contain invisible characters.",
}


def plain_text(value: object) -> object:
    """Return the value; refuse text with a character that people cannot see."""
    return _without_hidden_characters(value, allowed="")


def plain_lines(value: object) -> object:
    """Return the value; like `plain_text`, but newline and tab are allowed."""
    return _without_hidden_characters(value, allowed="\n\t")


def check_name(text: str, *, pointer: str) -> str:
    """Return a name that a command or a header gives, which no model has validated.

    Raises:
        Invalid: it is blank, longer than 200 characters, or has a character that people cannot see.
    """
    hidden = first_hidden(text)
    if hidden is not None:
        raise Invalid(_REFUSALS[hidden], errors=[_field(pointer, hidden, _REFUSALS[hidden])])
    if not text.strip() or len(text) > MAX_NAME_CHARACTERS:
        sentence = f"It must have 1 to {MAX_NAME_CHARACTERS} characters that are not all spaces."
        raise Invalid(sentence, errors=[_field(pointer, "length", sentence)])
    return text


def _field(pointer: str, code: str, message: str) -> FieldError:
    return FieldError(pointer, code.replace("_", "-"), message)


def _without_hidden_characters(value: object, *, allowed: str) -> object:
    hidden = first_hidden(value, allowed=allowed) if isinstance(value, str) else None
    if hidden is not None:
        raise PydanticCustomError(hidden.value, _REFUSALS[hidden])
    return value
