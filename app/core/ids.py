"""Prefixed ULIDs: sortable by creation time, safe in URLs, with a prefix for the kind of thing."""

import os
from random import Random

from ulid import ULIDGenerator

RANDOM_BYTES = 10

# Ids must be unique, not secret. Reading the system's random source would release the GIL for each
# id, and a busy server waits milliseconds to get it back.
_random = Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)
_ulids = ULIDGenerator(randomness=lambda _: _random.randbytes(RANDOM_BYTES))


def new_id(prefix: str) -> str:
    """Return a new identifier such as `job_01JD…` (prefix, underscore, 26-character ULID)."""
    return f"{prefix}_{_ulids.generate()}"
