"""Serializers for media types that schemathesis does not know; schemathesis loads this file."""

import schemathesis


@schemathesis.serializer(
    "application/zip",
    "application/x-tar",
    "application/gzip",
    "application/offset+octet-stream",
    "application/x-ndjson",
)
def as_bytes(_context: object, value: object) -> bytes:
    """Send the generated text or bytes unchanged: a body, though not an archive."""
    return value if isinstance(value, bytes) else str(value).encode()
