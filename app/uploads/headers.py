"""The headers of tus 1.0 (https://tus.io/protocols/resumable-upload): parsed and written."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from app.core.errors import FieldError, Invalid
from app.core.plain_text import is_plain
from app.uploads.errors import UnsupportedChecksum

if TYPE_CHECKING:
    from hashlib import _Hash

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,checksum,expiration,termination"
ALGORITHMS: Final = ("sha256", "sha1", "md5")
CHUNK_TYPE: Final = "application/offset+octet-stream"
MAX_METADATA: Final = 4096
MAX_FILENAME: Final = 255
METADATA_POINTER: Final = "header/Upload-Metadata"
DIGITS: Final = re.compile(r"[0-9]{1,20}")


def _only_digits(value: object) -> object:
    if isinstance(value, str) and DIGITS.fullmatch(value) is None:
        message = "Write a whole number in digits only, such as 12."
        raise PydanticCustomError("whole_number", message)
    return value


# Without the check, +12, 1_2 and 12.0 would be read, too.
Offset = Annotated[int, Field(ge=0), BeforeValidator(_only_digits)]
"""A number of bytes as tus writes it."""
Length = Annotated[int, Field(ge=1), BeforeValidator(_only_digits)]
"""The same, of a file that is not empty."""


@dataclass(frozen=True)
class Checksum:
    """The checksum that a client announced for the body of one request."""

    algorithm: str
    digest: bytes

    def new_hash(self) -> "_Hash":
        """Return an empty hash of the algorithm."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def parse_checksum(value: str | None) -> Checksum | None:
    """Return the checksum in `Upload-Checksum`; None without the header.

    Raises:
        UnsupportedChecksum: the algorithm is unknown, or the digest is not one in Base64.
    """
    if value is None:
        return None
    algorithm, _, encoded = value.strip().partition(" ")
    digest = _decoded(encoded)
    if algorithm not in ALGORITHMS or digest is None:
        raise UnsupportedChecksum(", ".join(ALGORITHMS))
    checksum = Checksum(algorithm, digest)
    if len(digest) != checksum.new_hash().digest_size:
        raise UnsupportedChecksum(", ".join(ALGORITHMS))
    return checksum


def parse_metadata(value: str | None) -> dict[str, str]:
    """Return the text values in `Upload-Metadata` by key; values that are not UTF-8 are left out.

    Raises:
        Invalid: the header is not a list of unique keys with values in Base64.
    """
    if not value:
        return {}
    if len(value) > MAX_METADATA:
        raise _bad_metadata(f"Send at most {MAX_METADATA} characters.")
    found: dict[str, str] = {}
    keys: set[str] = set()
    for pair in value.split(","):
        key, _, encoded = pair.strip(" ").partition(" ")
        content = _decoded(encoded)
        is_word = key.isascii() and key.isprintable() and key != ""
        if not is_word or key in keys or content is None:
            raise _bad_metadata("Send unique keys, each with a space and its value in Base64.")
        keys.add(key)
        try:
            found[key] = content.decode()
        except UnicodeDecodeError:
            continue
    return found


def filename_in(metadata: dict[str, str]) -> str:
    """Return the file's name, for people; without one, `upload`.

    Raises:
        Invalid: it is too long, or contains characters that cannot be shown.
    """
    name = metadata.get("filename") or "upload"
    if len(name) > MAX_FILENAME or not is_plain(name):
        raise _bad_metadata(f"filename must have at most {MAX_FILENAME} printable characters.")
    return name


def http_date(moment: datetime) -> str:
    """Return a time in UTC as in `Upload-Expires`."""
    return format_datetime(moment, usegmt=True)


def _decoded(encoded: str) -> bytes | None:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def _bad_metadata(message: str) -> Invalid:
    error = FieldError(METADATA_POINTER, "upload-metadata", message)
    return Invalid(f"{METADATA_POINTER}: {message}", errors=[error])
