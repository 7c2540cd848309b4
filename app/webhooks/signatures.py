"""Signatures of Standard Webhooks, version 1.0.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
"""The specification asks for 24 to 64."""


def new_secret() -> str:
    """Return a new random secret: `whsec_` and 32 bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(
    message_id: str, timestamp: int, body: bytes, keys: Iterable[str]
) -> Mapping[str, str]:
    """Return the three headers of a message.

    Args:
        message_id: the same in every attempt, so that receivers recognize a repetition.
        timestamp: of this attempt, in seconds since 1970.
        body: the bytes that are sent.
        keys: the secrets; each makes one signature, in this order.
    """
    signatures = (_signature(message_id, timestamp, body, key) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _signature(message_id: str, timestamp: int, body: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
