"""The short code of a login, which a person reads on one screen and compares on another."""

import re
import secrets
from typing import Final

LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Without vowels, so that no code is a word."""
DIGITS: Final = "0123456789"
HALF: Final = 4

_CODE: Final = re.compile(rf"[{LETTERS}]{{{HALF}}}[{DIGITS}]{{{HALF}}}")
_LEFT_OUT: Final = re.compile(r"[\s\-\u2010-\u2015]")


def new_user_code() -> str:
    """Return a random code such as `BCDF-1234`: one of 1.6 thousand million."""
    parts = ("".join(secrets.choice(kind) for _ in range(HALF)) for kind in (LETTERS, DIGITS))
    return "-".join(parts)


def read_user_code(typed: str) -> str | None:
    """Return the code that a person typed, in its usual form; None for text that is no code."""
    plain = _LEFT_OUT.sub("", typed).upper()
    return f"{plain[:HALF]}-{plain[HALF:]}" if _CODE.fullmatch(plain) else None
