"""What schemathesis does not know of our requests; it loads this file."""

from typing import Any

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


@schemathesis.hook
def filter_case(_context: object, case: schemathesis.Case[Any]) -> bool:
    """Leave out headers that no operation declares: HTTP lets a client send any."""
    return "x-schemathesis-unknown-property" not in (case.headers or {})
