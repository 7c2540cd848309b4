"""Prefixed ULIDs: sortable by creation, safe in URLs, and telling what they name."""

from ulid import ULID


def new_id(prefix: str) -> str:
    """Return a new identifier such as `job_01JD…` (prefix, underscore, 26-character ULID)."""
    return f"{prefix}_{ULID()}"
