"""Whole numbers in the addresses of pages."""

from typing import Final

MOST_DIGITS: Final = 9


def whole_number(text: str, *, otherwise: int) -> int:
    """Return the number that a parameter of an address has, or another one if it has none."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS
    return int(text) if is_number else otherwise
