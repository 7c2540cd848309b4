"""API keys: their text form, and the hash that is stored.

The form is `trainyard_<kind>_<id>_<secret><crc32>`. The checksum detects a mistyped key without a
database query. A secret of 190 bits does not need a slow hash.

Scopes name what a key may be used for; the role of its user in each project limits it further.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from enum import StrEnum

from app.accounts.tables import KeyKind

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH = 12
SECRET_LENGTH = 32
CHECKSUM_LENGTH = 6


class KeyScope(StrEnum):
    """What a key may be used for."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    DATASETS_READ = "datasets:read"
    DATASETS_WRITE = "datasets:write"
    ARTIFACTS_READ = "artifacts:read"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    WORKERS_READ = "workers:read"
    WORKERS_WRITE = "workers:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    PROJECTS_READ = "projects:read"
    PROJECTS_WRITE = "projects:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    AUDIT_READ = "audit:read"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"


ALL_SCOPES = tuple(scope.value for scope in KeyScope)
PATTERN = re.compile(
    rf"trainyard_(?P<kind>{'|'.join(KeyKind)})_(?P<public_id>[0-9A-Za-z]{{{ID_LENGTH}}})"
    rf"_(?P<secret>[0-9A-Za-z]{{{SECRET_LENGTH}}})(?P<checksum>[0-9A-Za-z]{{{CHECKSUM_LENGTH}}})\Z"
)


@dataclass(frozen=True)
class KeyText:
    """A key as its owner has it. Its `repr` never shows the secret."""

    kind: KeyKind
    public_id: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        body = f"trainyard_{self.kind}_{self.public_id}_{self.secret}"
        return body + _checksum(body)

    @property
    def sha256(self) -> bytes:
        """The hash of the whole key, which is stored instead of it."""
        return hashlib.sha256(str(self).encode()).digest()

    @property
    def secret_sha256(self) -> bytes:
        """The hash of the secret, which is stored for keys of releases before 0.2."""
        return hashlib.sha256(self.secret.encode()).digest()


def new_key(kind: KeyKind) -> KeyText:
    """Return a new random key."""
    return KeyText(kind, _random(ID_LENGTH), _random(SECRET_LENGTH))


def parse_key(text: str) -> KeyText | None:
    """Parse `text` as a key. Return None if its form or its checksum is wrong."""
    match = PATTERN.match(text)
    if match is None or _checksum(text[:-CHECKSUM_LENGTH]) != match["checksum"]:
        return None
    return KeyText(KeyKind(match["kind"]), match["public_id"], match["secret"])


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        value, digit = divmod(value, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
