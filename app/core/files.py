"""Files and folders that appear to other processes completely or not at all.

The trainer imports this module too, so it imports only the standard library.
"""

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
PRIVATE_UMASK: Final = 0o077
USUAL_FILE: Final = 0o666
"""The mode that `open` gives a new file; the umask applies."""
DISK_FULL_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def create_privately() -> None:
    """Create all files of this process and its children for their owner only.

    Every program of ours calls this first, whatever the umask of the shell or the service manager.
    """
    os.umask(PRIVATE_UMASK)


@contextmanager
def private_files() -> Iterator[None]:
    """Create all files of this process and its children in the block for their owner only."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def private_folder(path: Path) -> None:
    """Create a folder that only its owner can access, if it does not exist.

    Missing parents get the default mode.
    """
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)


@contextmanager
def whole_file(path: Path, *, mode: int = USUAL_FILE, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends.

    Readers see the old file or the complete new one. If the block raises, the old file stays and
    the new one is removed. A killed process leaves a file `.<name>.<random>.partial`.

    Args:
        path: the file, in a folder that exists.
        mode: mode of the new file; the umask applies.
        durable: sync the content before the rename, so that a power cut cannot leave an empty or
            partial file. The rename itself may be lost.
    """
    partial = _beside(path)
    try:
        with _new_file(partial, mode=mode, durable=durable) as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(
    path: Path, content: bytes | str, *, mode: int = USUAL_FILE, durable: bool = True
) -> None:
    """Replace the content of a file, text as UTF-8; see `whole_file`."""
    with whole_file(path, mode=mode, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def link_whole(path: Path, source: Path) -> None:
    """Make `path` a hard link to `source`; replace an existing file of this name."""
    partial = _beside(path)
    try:
        partial.hardlink_to(source)
        partial.replace(path)
    finally:  # renaming a hard link to another link of the same file does nothing and keeps both
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Create a folder that is renamed to `path` when the block ends; an error removes it.

    Raises:
        OSError: `path` is a file, or a folder that is not empty.
    """
    partial = _beside(path)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def made_once(path: Path, make: Callable[[], str]) -> str:
    """Return the line in a private file that the first call creates and that never changes.

    If several processes call this at the same time, one of them creates the file and all return its
    line.
    """
    with suppress(FileNotFoundError):
        return _line_in(path)
    private_folder(path.parent)
    partial = _beside(path)
    try:
        with _new_file(partial, mode=PRIVATE_FILE, durable=True) as file:
            file.write(f"{make()}\n".encode())
        with suppress(FileExistsError):  # another process was first
            path.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)
    return _line_in(path)


def locked(path: Path) -> IO[str]:
    """Open a file, create it if it is missing, and lock it until it is closed or the process ends.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("a"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stack.pop_all()
    return file


def is_disk_full(error: BaseException) -> bool:
    """Return whether a write failed because the disk or the quota is full."""
    return isinstance(error, OSError) and error.errno in DISK_FULL_ERRORS


def _beside(path: Path) -> Path:
    # Random, because process ids repeat across containers and threads share one.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


@contextmanager
def _new_file(path: Path, *, mode: int, durable: bool) -> Iterator[BinaryIO]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        if durable:
            file.flush()
            os.fsync(descriptor)


def _line_in(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
