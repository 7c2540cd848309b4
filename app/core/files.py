"""Files and folders that other processes see whole or not at all. Standard library only.

The trainer imports this module as well, so it must not import anything else of the server.
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
USUAL_FILE: Final = 0o666
"""What `open` gives a new file, less the umask."""
DISK_FULL_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def private_folder(path: Path) -> None:
    """Make a folder for its owner alone, if it does not exist; missing parents get usual modes."""
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)


@contextmanager
def whole_file(path: Path, *, mode: int = USUAL_FILE, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends.

    Readers find the old file or the whole new one. If the block raises, the old file stays and the
    new one is removed; a killed process leaves a file `.<name>.<random>.partial`.

    Args:
        path: in a folder that exists.
        mode: of the new file; the umask applies.
        durable: the content is on the disk before it gets its name, so that a power cut cannot
            leave an empty or partial file. The rename itself may be lost.
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
    """Replace a file by `content`, text as UTF-8; see `whole_file`."""
    with whole_file(path, mode=mode, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def link_whole(path: Path, source: Path) -> None:
    """Make `path` a hard link to the bytes of `source`; a file that had this name is replaced."""
    partial = _beside(path)
    try:
        partial.hardlink_to(source)
        partial.replace(path)
    finally:  # renaming one link of a file to another one does nothing, and leaves both
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder that gets the name `path` when the block ends; an error removes it.

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
    """Return the line in a private file; the first caller makes it, and it never changes.

    When several processes call this at once, one of them makes the file and all return its line.
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
    """Open a file, make it if it is missing, and lock it until it is closed or the process ends.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    with ExitStack() as stack:
        file = stack.enter_context(path.open("a"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stack.pop_all()
    return file


def is_disk_full(error: BaseException) -> bool:
    """Whether the file system refused to write because the disk or the quota is full."""
    return isinstance(error, OSError) and error.errno in DISK_FULL_ERRORS


def _beside(path: Path) -> Path:
    # Random: process ids repeat in containers, and threads share one.
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
