"""Secret files of the instance: made once, readable by their owner alone."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

SECRET_BYTES = 32


def read_or_make_secret(path: Path) -> bytes:
    """Return the secret in `path`, making it first where it is missing.

    Of several processes that start at once, one makes it and all read the same.
    """
    if not path.exists():
        partial = _write_partial(path, secrets.token_bytes(SECRET_BYTES).hex() + "\n")
        with suppress(FileExistsError):
            path.hardlink_to(partial)
        partial.unlink()
    return bytes.fromhex(path.read_text().strip())


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads; it appears whole or not at all."""
    _write_partial(path, text).replace(path)


def _write_partial(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return partial
