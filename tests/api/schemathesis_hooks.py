"""Loaded by schemathesis itself: how it sends media types that it does not know."""

import schemathesis


@schemathesis.serializer("application/zip")
def as_bytes(_context: object, value: object) -> bytes:
    """Send the generated text or bytes as they are: no zip archive, but a body."""
    return value if isinstance(value, bytes) else str(value).encode()
