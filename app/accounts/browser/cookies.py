"""The session cookie: its name, its attributes, and the token in it.

A browser takes a cookie whose name begins with `__Host-` only from this very host, over HTTPS, and
for all paths, so that no other host of the domain can set or read it. Over plain HTTP on the
browser's own machine, where some browsers refuse `Secure`, the cookie has neither prefix nor
`Secure`. Anywhere else, plain HTTP gets no cookie.
"""

import hashlib
import re
import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app.accounts.browser.errors import InsecureConnection
from app.accounts.browser.origins import is_encrypted, is_on_loopback

SECURE_NAME: Final = "__Host-trainyard"
LOOPBACK_NAME: Final = "trainyard"
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
TOKEN_BYTES: Final = 32


def new_token() -> str:
    """Return a random token of 256 bits, for a session or a set-up link."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> bytes:
    """Return the hash that is stored instead of a token."""
    return hashlib.sha256(token.encode()).digest()


def token_in(request: Request) -> str | None:
    """Return the session token of a request, or None.

    Only the cookie that this server would set counts. If there are two, someone else may have set
    one of them: neither counts.
    """
    name = SECURE_NAME if is_encrypted(request) else LOOPBACK_NAME
    pairs = (
        pair.strip().partition("=")
        for header in request.headers.getlist("cookie")
        for pair in header.split(";")
    )
    values = [value.strip() for found, _, value in pairs if found.strip() == name]
    if len(values) != 1 or TOKEN.fullmatch(values[0]) is None:
        return None
    return values[0]


def require_usable_connection(request: Request) -> None:
    """Refuse to sign in where the browser would not keep the cookie.

    Raises:
        InsecureConnection: plain HTTP from another machine.
    """
    if not is_encrypted(request) and not is_on_loopback(request):
        raise InsecureConnection


def set_cookie(request: Request, response: Response, token: str, *, max_age: float) -> None:
    """Give the browser the token of a new session, for `max_age` seconds."""
    _write(request, response, token, int(max_age))


def delete_cookie(request: Request, response: Response) -> None:
    """Make the browser forget its token."""
    _write(request, response, "", 0)


def _write(request: Request, response: Response, value: str, max_age: int) -> None:
    secure = is_encrypted(request)
    response.set_cookie(
        SECURE_NAME if secure else LOOPBACK_NAME,
        value,
        max_age=max_age,
        path="/",  # also behind a path prefix: `__Host-` requires it
        secure=secure,
        httponly=True,
        samesite="strict",
    )
