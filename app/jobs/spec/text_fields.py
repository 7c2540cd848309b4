"""The text types of the spec: names, notes, tags and references.

Text appears in logs, terminals, file names and HTML. Characters that could forge a line, hide
something or reverse the reading direction are refused.
"""

import math
import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints
from pydantic_core import PydanticCustomError

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_BIDI_CONTROLS: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROLS_BUT_LINES: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_ULID: Final = "[0-7][0-9A-HJKMNP-TV-Z]{25}"

DATASET_PATTERN: Final = f"^(ds|dsv)_{_ULID}$"
DATASET_VERSION_PATTERN: Final = f"^dsv_{_ULID}$"
MODEL_PATTERN: Final = rf"^([A-Za-z0-9][A-Za-z0-9._-]{{0,95}}\.(pt|yaml)|(mdl|job)_{_ULID})$"
SLUG_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
TAG_KEY_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"


def plain_text(value: object) -> object:
    """Return the value; refuse text with characters that cannot be stored or are invisible."""
    return _without_hidden_characters(value, controls=_CONTROLS)


def plain_lines(value: object) -> object:
    """Return the value; like `plain_text`, but newline and tab are allowed."""
    return _without_hidden_characters(value, controls=_CONTROLS_BUT_LINES)


def storable_json(value: JsonValue) -> JsonValue:
    """Return the value; refuse what databases cannot store: NaN, infinity, NUL, lone surrogates."""
    match value:
        case float() if not math.isfinite(value):
            raise PydanticCustomError("finite_number", "Numbers must be finite.")
        case str() if _SURROGATES.search(value):
            raise PydanticCustomError(
                "lone_surrogate", "Text must be Unicode without lone surrogates."
            )
        case str() if "\0" in value:
            raise PydanticCustomError("control_character", "Text must not contain NUL.")
        case list():
            for item in value:
                storable_json(item)
        case dict():
            for name, item in value.items():
                storable_json(name)
                storable_json(item)
    return value


Name = Annotated[str, Field(min_length=1, max_length=200), BeforeValidator(plain_text)]
Notes = Annotated[str, Field(max_length=10_000), BeforeValidator(plain_lines)]
TagKey = Annotated[str, StringConstraints(pattern=TAG_KEY_PATTERN)]
TagValue = Annotated[str, Field(max_length=200), BeforeValidator(plain_text)]
Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]


def _without_hidden_characters(value: object, *, controls: re.Pattern[str]) -> object:
    if not isinstance(value, str):
        return value
    if _SURROGATES.search(value):
        raise PydanticCustomError("lone_surrogate", "Text must be Unicode without lone surrogates.")
    if controls.search(value):
        raise PydanticCustomError("control_character", "Text must not contain control characters.")
    if _BIDI_CONTROLS.search(value):
        raise PydanticCustomError(
            "bidi_control", "Text must not contain characters that change the reading direction."
        )
    return value
