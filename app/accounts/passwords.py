"""Passwords: argon2id hashes, at most two at once, and the rules for new passwords.

A hash takes 64 MiB and some tens of milliseconds. Callers must not be in the event loop.
"""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from app.core.errors import FieldError, Invalid, Unavailable

MIN_LENGTH: Final = 8
MAX_LENGTH: Final = 200
HASHES_AT_ONCE: Final = 2
MAX_WAITING: Final = 16

_COMMON: Final = """
11111111 12341234 12345678 123456789 1234567890 123123123 147258369 1q2w3e4r 1q2w3e4r5t
1qaz2wsx 87654321 88888888 987654321 a1b2c3d4 aa123456 abcd1234 abc12345 abcdefgh
admin123 administrator asdfasdf asdfghjk asdfghjkl baseball basketball changeme changeme1
charlie1 computer corvette default1 dragon123 football football1 iloveyou iloveyou1 internet
jennifer letmein1 liverpool master123 michelle michael1 midnight mustang1 p@ssw0rd passw0rd
password password! password1 password12 password123 pokemon1 princess princess1 q1w2e3r4
qazwsxedc qwer1234 qwert123 qwerty12 qwerty123 qwertyui qwertyuiop samsung1 secret123 shadow12
starwars sunshine sunshine1 superman superman1 test1234 trainyard trainyard1 trustno1
ultralytics welcome1 welcome123 whatever zxcvbnm1 zaq12wsx
"""
MOST_COMMON: Final = frozenset(_COMMON.split())
"""The most common passwords of at least `MIN_LENGTH` characters, in lower case."""

NOBODYS_HASH: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$rodAtZe4ZHmMfU/T1wQXbw$XOAj0b"
    "zHHHmu/vKTi9tCKBQXcGThNSkDgKob2CIwSvk"
)
"""Hash of a random password that was not kept: unknown users cost as much work as known ones."""

_argon2 = Argon2Hasher()
_hasher = PasswordHash((_argon2,))


class WeakPassword(Invalid):
    """The new password is too short, too long or too easy to guess."""

    slug, title = "weak-password", "The password is too weak"


class PasswordsBusy(Unavailable):
    """Too many passwords are being checked at the moment."""

    slug, title = "passwords-busy", "Too many passwords at once"


class _Turns:
    """Lets two callers compute at once, and a bounded number of others wait."""

    def __init__(self, at_once: int, max_waiting: int) -> None:
        self._places = threading.BoundedSemaphore(at_once + max_waiting)
        self._turns = threading.BoundedSemaphore(at_once)

    @contextmanager
    def taken(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise PasswordsBusy("Too many passwords are being checked; try again shortly.")
        try:
            with self._turns:
                yield
        finally:
            self._places.release()


_turns = _Turns(HASHES_AT_ONCE, MAX_WAITING)


def check_password(text: str, *, user_name: str, pointer: str = "/password") -> None:
    """Refuse a new password that is too weak; an error names `pointer` as the wrong field.

    Raises:
        WeakPassword: it is shorter than 8 or longer than 200 characters, is the user's name, or is
            one of the most common passwords.
    """
    password = _normal(text)
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        message = f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters."
    elif password.casefold() == user_name.casefold():
        message = "The password must differ from the name."
    elif password.casefold() in MOST_COMMON or len(set(password)) == 1:
        message = "This password is one of the first that are tried; choose another one."
    else:
        return
    raise WeakPassword(message, errors=[FieldError(pointer, "weak-password", message)])


def hash_password(text: str) -> str:
    """Return the argon2id hash of a password, with its parameters and a new salt.

    Raises:
        PasswordsBusy: too many callers wait already.
    """
    with _turns.taken():
        return _hasher.hash(_normal(text))


def verify_password(text: str, stored: str | None) -> bool:
    """Return whether a password has the hash `stored`.

    For a user who does not exist or has no password, pass None: the work is the same.

    Raises:
        PasswordsBusy: too many callers wait already.
    """
    with _turns.taken():
        try:
            matches = _hasher.verify(_normal(text), stored or NOBODYS_HASH)
        except UnknownHashError:
            return False
    return matches and stored is not None


def needs_rehash(stored: str) -> bool:
    """Return whether a hash was made with other parameters than new ones."""
    return _argon2.check_needs_rehash(stored)


def _normal(text: str) -> str:
    """Return one form for the ways in which keyboards enter the same characters."""
    return unicodedata.normalize("NFC", text)
