"""Secret files of the instance, which only their owner can read."""

import secrets
from pathlib import Path

from app.core.files import PRIVATE_FILE, made_once, private_folder, write_whole

SECRET_BYTES = 32


def read_or_make_secret(path: Path) -> bytes:
    """Return the secret in `path`; the first call creates it, see `made_once`."""
    return bytes.fromhex(made_once(path, lambda: secrets.token_hex(SECRET_BYTES)))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it appears complete or not at all."""
    private_folder(path.parent)
    write_whole(path, text, mode=PRIVATE_FILE)
