"""What pydantic refuses, in words of this API: a stable code, and what would be right.

No sentence has a word of pydantic, a regular expression, or the value that was sent.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic_core import ErrorDetails

NUMBER: Final = "It must be a number"
WHOLE: Final = "It must be a whole number"
UNQUOTED: Final = ": it is text; leave the quotes away."

Refused = tuple[str, str]
"""A code and a sentence."""

_FIXED: Final[Mapping[str, Refused]] = {
    "missing": ("missing", "This field is required."),
    "extra_forbidden": ("unknown-field", "There is no such field here."),
    "string_type": ("not-text", "It must be text, in quotes."),
    "string_unicode": ("not-text", "It must be text in Unicode."),
    "string_pattern_mismatch": ("wrong-form", "It has characters or a form that are not allowed."),
    "finite_number": ("not-a-number", "It must be a finite number."),
    "none_required": ("not-null", "It must be null."),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
        ("not-an-object", 'It must be an object in braces, such as {"name": value}.'),
    ),
    **dict.fromkeys(
        ("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"),
        ("not-a-list", "It must be a list in square brackets."),
    ),
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "timezone_aware"),
        ("not-a-time", "It must be a time with its zone, such as 2026-11-30T08:00:00Z."),
    ),
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than_equal": ("ge", "It must be at least {}."),
    "greater_than": ("gt", "It must be greater than {}."),
    "less_than_equal": ("le", "It must be at most {}."),
    "less_than": ("lt", "It must be less than {}."),
    "multiple_of": ("multiple_of", "It must be a multiple of {}."),
    "string_too_short": ("min_length", "It must have at least {} characters."),
    "string_too_long": ("max_length", "It must have at most {} characters."),
    "too_short": ("min_length", "It must have at least {} items."),
    "too_long": ("max_length", "It must have at most {} items."),
}


def refusal_of(detail: ErrorDetails) -> Refused:
    """Return the code and the sentence for one error of pydantic; ours stay as they are."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _BOUNDS and _BOUNDS[kind][0] in context:
        name, sentence = _BOUNDS[kind]
        return kind.replace("_", "-"), _in_singular(sentence.format(_shown(context[name])))
    if kind in {"literal_error", "enum"} and "expected" in context:
        return "unknown-choice", _choices(str(context["expected"]), detail.get("input"))
    for start, say in _BY_BEGINNING.items():
        if kind.startswith(start):
            return say(detail.get("input"))
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return kind.replace("_", "-"), message


def _whole_number(value: object) -> Refused:
    return "not-an-integer", WHOLE + (UNQUOTED if _reads_as(int, value) else ".")


def _number(value: object) -> Refused:
    return "not-a-number", NUMBER + (UNQUOTED if _reads_as(float, value) else ".")


def _truth(value: object) -> Refused:
    is_quoted = isinstance(value, str) and value.lower() in {"true", "false"}
    return "not-a-boolean", "It must be true or false" + (UNQUOTED if is_quoted else ".")


_BY_BEGINNING: Final[Mapping[str, Callable[[object], Refused]]] = {
    "int_": _whole_number,
    "float_": _number,
    "bool_": _truth,
}


def _reads_as(kind: Callable[[str], object], value: object) -> bool:
    if not isinstance(value, str) or len(value) > 40:  # noqa: PLR2004 -- no number is longer
        return False
    try:
        kind(value)
    except ValueError:
        return False
    return True


def _choices(expected: str, value: object) -> str:
    """Return the sentence for pydantic's list of choices, such as `'a', 'b' or 'c'`."""
    choices = [each.strip(" '") for each in expected.replace(" or ", ", ").split(",")]
    guess = nearest(value, choices)
    meant = f'Did you mean "{guess}"? ' if guess else ""
    one_of = "It must be" if len(choices) == 1 else "It must be one of"
    return f"{meant}{one_of} {', '.join(choices)}."


def nearest(value: object, choices: list[str]) -> str | None:
    """Return the choice that is meant by a value in another case or with an error, or None."""
    if not isinstance(value, str):
        return None
    by_lower = {choice.lower(): choice for choice in choices}
    found = get_close_matches(value[:100].lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def _shown(bound: Any) -> str:  # noqa: ANN401 -- any bound
    is_whole = isinstance(bound, float) and bound.is_integer()
    return str(int(bound) if is_whole else bound)


def _in_singular(sentence: str) -> str:
    return sentence.replace(" 1 characters.", " 1 character.").replace(" 1 items.", " 1 item.")
