"""The filter of system calls (seccomp): what no training needs is refused by the kernel.

A list of what is refused, and not of what is allowed: torch and the drivers of GPUs change which
calls they make with every release. `io_uring` is refused, since no filter sees the calls it makes.
"""

import ctypes
import errno
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from app.core.cage.kernel import machine, system_call

REFUSED: Final[dict[str, tuple[int | None, int | None]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "uselib": (134, None),
    "vhangup": (153, 58),
}
"""The numbers of each system call on x86_64 and aarch64."""
UNKNOWN: Final[dict[str, tuple[int, int]]] = {
    # Answered as by a kernel that lacks them; the C library then makes an older call instead.
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
CLONE: Final = (56, 220)
SOCKET: Final = (41, 198)
SOCKETPAIR: Final = (53, 199)
IOCTL: Final = (16, 29)
NEW_NAMESPACES: Final = 0x7E020000
TERMINAL_INPUT: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX, which put input into a terminal that another program reads."""

ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
X32_BIT: Final = 0x40000000
LOCAL_FAMILIES: Final = (int(socket.AF_UNIX),)
ALL_FAMILIES: Final = (*LOCAL_FAMILIES, int(socket.AF_INET), int(socket.AF_INET6), 16)
"""Unix sockets, the two of IP, and netlink (16), by which libraries list network interfaces."""

ALLOW: Final = 0x7FFF0000
KILL_PROCESS: Final = 0x80000000
ERRNO: Final = 0x00050000
SET_MODE_FILTER: Final = 1
FLAG_TSYNC: Final = 1
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
_INSTRUCTION: Final = struct.Struct("=HBBI")

Instruction = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def filter_system_calls(families: Iterable[int]) -> None:
    """Refuse dangerous system calls, and sockets of other families, in this process for good.

    Needs `no_new_privs`.

    Raises:
        OSError: the kernel has no such filter, or the architecture is unknown.
    """
    code = b"".join(_INSTRUCTION.pack(*each) for each in program(machine(), families))
    filled = _Program(len(code) // _INSTRUCTION.size, code)
    if system_call("seccomp", SET_MODE_FILTER, FLAG_TSYNC, ctypes.byref(filled)):
        raise OSError(errno.EBUSY, "a thread cannot take the filter")


def program(architecture: str, families: Iterable[int]) -> Iterator[Instruction]:
    """Yield the filter for an architecture: operation, two jumps, operand."""
    which, number = ARCHITECTURES[architecture]
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, number
    yield _RETURN, 0, 0, KILL_PROCESS
    yield _LOAD, 0, 0, _NUMBER
    if architecture == "x86_64":
        yield from _unless((_AT_LEAST, X32_BIT), errno.ENOSYS)
    for numbers in UNKNOWN.values():
        yield from _unless((_EQUAL, numbers[which]), errno.ENOSYS)
    for refused in REFUSED.values():
        call = refused[which]
        if call is not None:
            yield from _unless((_EQUAL, call), errno.EPERM)
    of_call = [
        (CLONE, _FIRST, (*_unless((_HAS_BITS, NEW_NAMESPACES), errno.EPERM), _answer())),
        (SOCKET, _FIRST, tuple(_only(families))),
        (SOCKETPAIR, _FIRST, tuple(_only(families))),
        (IOCTL, _SECOND, (*_refused(TERMINAL_INPUT), _answer())),
    ]
    for calls, argument, rest in of_call:
        yield _EQUAL, 0, len(rest) + 1, calls[which]
        yield _LOAD, 0, 0, argument
        yield from rest
    yield _answer()


def _unless(condition: tuple[int, int], error: int) -> Iterator[Instruction]:
    """Answer with an error if the condition holds."""
    operation, operand = condition
    yield operation, 0, 1, operand
    yield _answer(error)


def _refused(values: Iterable[int]) -> Iterator[Instruction]:
    for value in values:
        yield from _unless((_EQUAL, value), errno.EPERM)


def _only(values: Iterable[int]) -> Iterator[Instruction]:
    for value in values:
        yield _EQUAL, 0, 1, value
        yield _answer()
    yield _answer(errno.EAFNOSUPPORT)


def _answer(error: int = 0) -> Instruction:
    return _RETURN, 0, 0, ERRNO | error if error else ALLOW
