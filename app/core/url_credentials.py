"""Keys in URLs: they are refused, because proxies, browsers and logs keep URLs.

A key that was sent this way must be revoked, also if the request had a good header too.
"""

import re
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from starlette.types import Scope

from app.core.errors import BadRequest

KEY: Final = re.compile(r"trainyard_[a-z]+_[0-9A-Za-z]{12}_[0-9A-Za-z]{16}")
"""Enough of a key to recognise it, also if its end is missing."""
CREDENTIAL_NAMES: Final = frozenset({"access_token", "api_key", "apikey", "key", "token"})
KEY_PREFIX: Final = "trainyard_"
MAX_DECODINGS: Final = 3


class CredentialInUrl(BadRequest):
    """The URL contains an API key; send it in the header, and revoke this one."""

    slug, title = "credential-in-url", "An API key in the URL"

    def __init__(self) -> None:
        super().__init__(
            "The URL contains an API key. Send it as Authorization: Bearer <key> instead, and "
            "revoke this one: proxies and logs may have kept it."
        )


def has_credential(scope: Scope) -> bool:
    """Return whether the path or the query of a request contains a key, percent-encoded or not."""
    query = scope["query_string"].decode("latin-1")
    if _contains_key(f"{scope['path']}?{query}"):
        return True
    return any(
        name.lower() in CREDENTIAL_NAMES and value.startswith(KEY_PREFIX)
        for name, value in parse_qsl(query)
    )


def _contains_key(text: str) -> bool:
    for _ in range(MAX_DECODINGS):
        if KEY.search(text):
            return True
        text, previous = unquote_plus(text), text
        if text == previous:
            return False
    return KEY.search(text) is not None
