"""Whole numbers in the addresses and the forms of pages."""

from typing import Final, TypeVar

MOST_DIGITS: Final = 9

Other = TypeVar("Other")


def whole_number(text: str, *, otherwise: Other, most_digits: int = MOST_DIGITS) -> int | Other:
    """Return the number that someone typed; for other text, or a longer one, something else."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= most_digits
    return int(text) if is_number else otherwise
