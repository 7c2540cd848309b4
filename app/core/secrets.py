"""Secret files of the instance: readable by their owner alone."""

import secrets
from pathlib import Path

from app.core.files import PRIVATE_FILE, made_once, private_folder, write_whole

SECRET_BYTES = 32


def read_or_make_secret(path: Path) -> bytes:
    """Return the secret in `path`; the first call makes it, see `made_once`."""
    return bytes.fromhex(made_once(path, lambda: secrets.token_hex(SECRET_BYTES)))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads; it appears whole or not at all."""
    private_folder(path.parent)
    write_whole(path, text, mode=PRIVATE_FILE)
