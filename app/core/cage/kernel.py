"""Calls of the Linux kernel for which Python 3.11 has no function. A refusal raises OSError."""

import ctypes
import os
import platform
import sys
from typing import Any, Final

NUMBERS: Final[dict[str, dict[str, int]]] = {
    "x86_64": {"capset": 126, "pivot_root": 155, "seccomp": 317},
    "aarch64": {"capset": 91, "pivot_root": 41, "seccomp": 277},
}
SAME_NUMBERS: Final = {
    "open_tree": 428,
    "move_mount": 429,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
"""System calls that are newer than the numbering that all architectures share."""

AT_FDCWD: Final = -100
AT_RECURSIVE: Final = 0x8000
AT_EMPTY_PATH: Final = 0x1000
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4


def machine() -> str:
    """Return the processor architecture, if the numbers of its system calls are known.

    Raises:
        OSError: they are not, or this is not Linux.
    """
    name = platform.machine()
    if sys.platform != "linux" or name not in NUMBERS:
        raise OSError(f"unknown to this release: {sys.platform} on {name}")
    return name


def system_call(name: str, *arguments: Any) -> int:  # noqa: ANN401 -- numbers and pointers
    """Make a system call and return its result.

    Raises:
        OSError: the kernel refuses it.
    """
    number = SAME_NUMBERS.get(name) or NUMBERS[machine()][name]
    return _checked(name, _libc().syscall(ctypes.c_long(number), *map(_argument, arguments)))


def unshare(flags: int) -> None:
    """Give this process new namespaces; a new one for processes holds its children only."""
    _checked("unshare", _libc().unshare(flags))


def prctl(option: int, *arguments: int) -> int:
    """Change or ask something of this process."""
    values = [*arguments, *[0] * (4 - len(arguments))]
    return _checked("prctl", _libc().prctl(option, *map(ctypes.c_ulong, values)))


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount a file system, or change the propagation of a mount."""
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _checked(
        f"mount {target}",
        _libc().mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]),
    )


def unmount(target: str, flags: int) -> None:
    """Take a mount out of the file system."""
    _checked(f"umount {target}", _libc().umount2(target.encode(), flags))


def _libc() -> Any:  # noqa: ANN401 -- ctypes has no types for a library's functions
    return ctypes.CDLL(None, use_errno=True)


def _argument(value: Any) -> Any:  # noqa: ANN401 -- as for `system_call`
    # A variadic function takes a Python int as 32 bits.
    return ctypes.c_long(value) if isinstance(value, int) else value


def _checked(what: str, result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result
