"""What is in the artifact store: the objects in place, those aside, and unfinished files."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.core.storage import ASIDE, STORED, ArtifactStore, AsideObject, StoredObject

ASIDE_NAME: Final = re.compile(r"(?P<sha256>[0-9a-f]{64})\.(?P<due>[0-9]+)\Z")
DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
UNFINISHED: Final = re.compile(r".+#[0-9]+\Z")
"""Name of a file that obstore's local store has not renamed into place yet."""


def stored_digests(store: ArtifactStore) -> Iterator[list[str]]:
    """Yield the digests of all stored objects, in lists that one SQL query can contain."""
    for page in store.listed(STORED):
        yield [found["path"].rpartition("/")[2] for found in page]


def objects_after(store: ArtifactStore, sha256: str) -> Iterator[StoredObject]:
    """Yield the stored objects with a greater digest, in the order of their digests.

    Each 256th of the store is listed when its turn comes.
    """
    for first in range(int(sha256[:2] or "0", 16), 256):
        pages = store.listed(f"{STORED}/{first:02x}")
        found = [
            StoredObject(name, each["size"])
            for page in pages
            for each in page
            if DIGEST.match(name := each["path"].rpartition("/")[2]) and name > sha256
        ]
        yield from sorted(found, key=lambda each: each.sha256)


def total_bytes(store: ArtifactStore) -> int:
    """Return the size of all stored objects together."""
    return sum(found["size"] for page in store.listed(STORED) for found in page)


def aside_objects(store: ArtifactStore) -> Iterator[list[AsideObject]]:
    """Yield every object that was moved aside."""
    for page in store.listed(ASIDE):
        yield [aside for found in page if (aside := _aside_of(found["path"])) is not None]


def unfinished_files(store: ArtifactStore, *, before: datetime) -> list[Path]:
    """Return incomplete files of a local store whose last write was earlier than `before`.

    Killed processes leave such files. S3 and similar stores do not list incomplete uploads; a
    lifecycle rule of the bucket removes them.
    """
    if store.local_root is None:
        return []
    files = [path for path in store.local_root.glob("*/*/*") if UNFINISHED.match(path.name)]
    found = []
    for path in files:
        with suppress(FileNotFoundError):
            found += [path] * (path.stat().st_mtime < before.timestamp())
    return found


def _aside_of(key: str) -> AsideObject | None:
    match = ASIDE_NAME.match(key.rpartition("/")[2])
    if match is None:
        return None
    return AsideObject(match["sha256"], datetime.fromtimestamp(int(match["due"]) / 1000, UTC))
