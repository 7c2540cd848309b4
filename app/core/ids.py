"""Prefixed ULIDs: sortable by creation, safe in URLs, and telling what they name."""

import os
from random import Random

from ulid import ULIDGenerator

RANDOM_BYTES = 10

# Unique, and no secret. The system's own source would release the interpreter's lock for each id,
# and a busy server waits milliseconds to get it back.
_random = Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)
_ulids = ULIDGenerator(randomness=lambda _: _random.randbytes(RANDOM_BYTES))


def new_id(prefix: str) -> str:
    """Return a new identifier such as `job_01JD…` (prefix, underscore, 26-character ULID)."""
    return f"{prefix}_{_ulids.generate()}"
