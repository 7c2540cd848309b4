"""Open files of another program, which may be hostile and may still change them.

A name is followed through no link and cannot leave its folder. Only regular files are opened, so
opening and reading never wait, and never act on a device.
"""

import ctypes
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from app.core.files import PRIVATE_FILE, PRIVATE_FOLDER

LONGEST_PATH: Final = 512
DEEPEST_PATH: Final = 16
LONGEST_PART: Final = 255
MOST_ENTRIES: Final = 20_000
"""Entries of a folder that are looked through for the links of one file."""

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_OPENAT2: Final = 437
"""The system call's number, which is the same on every architecture (Linux 5.6)."""
_NO_MAGIC_LINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_NOT_THERE: Final = frozenset({errno.ENOSYS, errno.EPERM})
"""An older kernel, or a filter of system calls that does not know this one."""
_LINK_TRIES: Final = 5
DEEPEST_LINK: Final = 4
"""Levels of folders in which the names of one file are looked for."""
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class FileRefused(Exception):
    """A file is not what it should be; the message is a clause that completes "The file …"."""


class _OpenHow(ctypes.Structure):
    """`struct open_how` of <linux/openat2.h>."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def relative_parts(path: str) -> tuple[str, ...]:
    """Split a path that must lie below a folder.

    Raises:
        ValueError: it is absolute, has an empty, "." or ".." part or a character that names of
            files should not have, or is too long.
    """
    parts = tuple(path.split("/"))
    if not 0 < len(path) <= LONGEST_PATH or len(parts) > DEEPEST_PATH:
        raise ValueError(f"must have 1 to {LONGEST_PATH} characters and {DEEPEST_PATH} parts")
    for part in parts:
        if part in {"", ".", ".."}:
            raise ValueError('must be relative, without an empty, "." or ".." part')
        if not part.isprintable() or len(part.encode()) > LONGEST_PART:
            raise ValueError(f"must have printable parts of at most {LONGEST_PART} bytes")
    return parts


def open_regular(path: Path, *, most_bytes: int | None = None) -> BinaryIO:
    """Open a regular file to read; its own name may be no link, while those of its folders may.

    Raises:
        FileNotFoundError: there is no such file.
        FileRefused: it is not a regular file, or has more than `most_bytes` bytes.
    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refusal(error) from error
    return _checked(descriptor, most_bytes)


def read_regular(path: Path, *, most_bytes: int) -> bytes:
    """Return the content of a regular file; see `open_regular` for what it raises."""
    with open_regular(path, most_bytes=most_bytes) as file:
        return file.read(most_bytes)


def tail_of_regular(path: Path, *, most_bytes: int) -> str:
    """Return the end of a text that another program wrote; empty if there is no regular file."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most_bytes))
            return file.read(most_bytes).decode(errors="replace")
    except (OSError, FileRefused):
        return ""


class GuardedFolder:
    """A folder in which another program writes, and the files that it names in there.

    Make it before that program starts: a folder that later takes its place is refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        found = path.lstat()
        self._identity = (found.st_dev, found.st_ino)

    @contextmanager
    def opened(self, relative: str, *, most_bytes: int) -> Iterator[BinaryIO]:
        """Open a file to read, by its path below the folder.

        Raises:
            FileRefused: there is no such file, it is behind a link, not regular, of another user,
                too large, or another name of a file outside of the folder.
        """
        parts = _parts(relative)
        with self._descriptor() as folder:
            file = _checked(_open_below(folder, parts, _READ), most_bytes)
            with file:
                self._check_owner(file, folder)
                _check_links(file, folder)
                yield file

    def check(self, relative: str, *, most_bytes: int) -> None:
        """Check that a file can be opened; see `opened`."""
        with self.opened(relative, most_bytes=most_bytes):
            pass

    def unlink(self, relative: str) -> None:
        """Remove a name below the folder; do nothing if there is none.

        Raises:
            FileRefused: a part of the path is a link, or the name is that of a folder.
        """
        *folders, name = _parts(relative)
        with suppress(FileNotFoundError), self._descriptor() as root, _folder(root, folders) as at:
            try:
                os.unlink(name, dir_fd=at)
            except (IsADirectoryError, PermissionError) as error:
                raise _refusal(error) from error

    def write(self, name: str, content: str) -> None:
        """Replace a small file of the folder; a link of this name is replaced, not followed.

        Raises:
            OSError: the disk is full, or a folder has this name.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        partial = f".{name}.{os.urandom(4).hex()}.partial"
        with self._descriptor() as folder:
            descriptor = os.open(partial, flags, PRIVATE_FILE, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    owner = os.fstat(folder)
                    if os.geteuid() == 0 and owner.st_uid != 0:
                        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                    file.write(content)
                os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(partial, dir_fd=folder)
                raise

    @contextmanager
    def _descriptor(self) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, _FOLDER)
        except OSError as error:
            raise _refusal(error) from error
        try:
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino) != self._identity:
                raise FileRefused("lies in a folder that was replaced")
            yield descriptor
        finally:
            os.close(descriptor)

    @staticmethod
    def _check_owner(file: BinaryIO, folder: int) -> None:
        """Check that the file is of this user, or of the user whose folder it is."""
        owner = os.fstat(file.fileno()).st_uid
        if owner not in {os.geteuid(), os.fstat(folder).st_uid}:
            raise FileRefused("belongs to another user")


def _parts(relative: str) -> tuple[str, ...]:
    try:
        return relative_parts(relative)
    except ValueError as error:
        raise FileRefused(f"has a path that is not allowed: it {error}") from error


def _checked(descriptor: int, most_bytes: int | None) -> BinaryIO:
    """Return a file object of a descriptor; close it unless it is a regular file of this size."""
    try:
        _check_kind(os.fstat(descriptor), most_bytes)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_kind(found: os.stat_result, most_bytes: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FileRefused("is not a regular file")
    if most_bytes is not None and found.st_size > most_bytes:
        raise FileRefused(f"has {found.st_size} bytes; {most_bytes} are allowed")


def _open_below(folder: int, parts: tuple[str, ...], flags: int) -> int:
    try:
        with suppress(NotImplementedError):
            return _openat2(folder, "/".join(parts), flags)
        with _folder(folder, list(parts[:-1])) as parent:
            return os.open(parts[-1], flags, dir_fd=parent)
    except OSError as error:
        raise _refusal(error) from error


def _openat2(folder: int, relative: str, flags: int) -> int:
    """Open a path that the kernel itself holds below the folder, and free of links.

    Raises:
        NotImplementedError: this kernel cannot, or not while folders are renamed.
    """
    how = _OpenHow(flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGIC_LINKS)
    number, size = ctypes.c_long(_OPENAT2), ctypes.c_size_t(ctypes.sizeof(how))
    descriptor: int = _LIBC.syscall(
        number, ctypes.c_int(folder), os.fsencode(relative), ctypes.byref(how), size
    )
    if descriptor >= 0:
        return descriptor
    code = ctypes.get_errno()
    if code in _NOT_THERE or code == errno.EAGAIN:  # a rename at the same time: walk instead
        raise NotImplementedError
    raise OSError(code, os.strerror(code))


@contextmanager
def _folder(root: int, parts: list[str]) -> Iterator[int]:
    """Open a folder below another one, part by part and through no link."""
    current = os.dup(root)
    try:
        for part in parts:
            try:
                following = os.open(part, _FOLDER, dir_fd=current)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise _refusal(error) from error
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def _check_links(file: BinaryIO, folder: int) -> None:
    """Check that every name of a file is in this folder.

    A trainer hands over its checkpoints as further names of one file, so several are usual.
    """
    for _ in range(_LINK_TRIES):  # the names of an honest program may change while we look
        found = os.fstat(file.fileno())
        if found.st_nlink <= 1 or _names_of(found, folder) >= found.st_nlink:
            return
    raise FileRefused("is also the file of another name outside of its folder")


def _names_of(found: os.stat_result, folder: int) -> int:
    """Return how many names a file has in a folder and the folders in it."""
    names, seen = 0, 0
    pending: list[list[str]] = [[]]
    while pending and seen < MOST_ENTRIES:
        parts = pending.pop()
        with suppress(OSError, FileRefused), _folder(folder, parts) as at, os.scandir(at) as inside:
            for entry in islice(inside, MOST_ENTRIES):
                seen += 1
                if entry.is_dir(follow_symlinks=False):
                    pending += [[*parts, entry.name]] * (len(parts) < DEEPEST_LINK)
                    continue
                with suppress(FileNotFoundError):
                    own = os.stat(entry.name, dir_fd=at, follow_symlinks=False)
                    names += (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino)
    return names


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder in which another program writes, and remove it when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield folder
    finally:
        remove_tree(folder)


def entries_below(root: Path) -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder, through no link and however deep it is.

    What cannot be listed, also since its path is too long, is left out.

    Raises:
        FileNotFoundError: a folder is gone.
    """
    pending = [str(root)]
    while pending:
        try:
            with os.scandir(pending.pop()) as inside:
                found = list(inside)
        except FileNotFoundError:
            raise
        except OSError:
            continue
        pending += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
        yield from found


def remove_tree(root: Path) -> None:
    """Remove a folder in which another program wrote; leave what cannot be removed.

    `shutil.rmtree` takes a descriptor and a call for each level, and a program can make thousands.
    Here the folders of each folder move up to the root, one level at a time.
    """
    with suppress(OSError):
        at = os.open(root, _FOLDER)
        try:
            _empty(at)
        finally:
            os.close(at)
        root.rmdir()


def _empty(root: int) -> None:
    """Remove everything in a folder, without descending more than one level."""
    is_changed = True
    while is_changed:
        is_changed = False
        for name, is_folder in _entries(root):
            with suppress(OSError):
                if is_folder:
                    _move_up_and_remove(root, name)
                else:
                    os.unlink(name, dir_fd=root)
                is_changed = True


def _move_up_and_remove(root: int, name: str) -> None:
    with suppress(OSError, NotImplementedError):  # the program may have taken its own rights away
        os.chmod(name, PRIVATE_FOLDER, dir_fd=root)
    at = os.open(name, _FOLDER, dir_fd=root)
    try:
        for inner, is_folder in _entries(at):
            if is_folder:
                # A folder can move only while its own mode lets its "..", an entry of it, change.
                with suppress(OSError, NotImplementedError):
                    os.chmod(inner, PRIVATE_FOLDER, dir_fd=at)
                os.rename(inner, f".{os.urandom(8).hex()}", src_dir_fd=at, dst_dir_fd=root)
            else:
                os.unlink(inner, dir_fd=at)
    finally:
        os.close(at)
    os.rmdir(name, dir_fd=root)


def _entries(folder: int) -> list[tuple[str, bool]]:
    """Return some names in a folder, and whether each is that of a folder."""
    with os.scandir(folder) as inside:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in islice(inside, 5000)]


_REASONS: Final = {
    errno.ENOENT: "does not exist",
    errno.ELOOP: "is a link, or behind one",
    errno.EXDEV: "is outside of its folder",
    errno.ENOTDIR: "is not in a folder, or behind a link",
    errno.EISDIR: "is a folder",
    errno.ENAMETOOLONG: "has a name that is too long",
    errno.EACCES: "cannot be read",
    errno.EPERM: "cannot be read or removed",
    errno.ENXIO: "is not a regular file",
    errno.ENODEV: "is not a regular file",
}


def _refusal(error: OSError) -> Exception:
    """Return what to raise: a refusal, or the error itself if it says nothing about the file."""
    reason = _REASONS.get(error.errno or 0)
    return error if reason is None else FileRefused(reason)
