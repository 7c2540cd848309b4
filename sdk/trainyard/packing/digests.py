"""Files of this machine."""

import hashlib
from pathlib import Path
from typing import Final

PIECE_BYTES: Final = 1024 * 1024


def digest_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 and the size of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size
