"""Landlock: a process gives up all files but those below some paths, for good.

https://docs.kernel.org/userspace-api/landlock.html; what a kernel knows is its ABI version.
"""

import ctypes
import os
import stat
from typing import Final

from app.core.cage.definition import Cage, Layer
from app.core.cage.kernel import system_call
from app.core.cage.mounts import DEVICES, NETWORK_FILES, SHARED_MEMORY, SYSTEM, TEMPORARY

EXECUTE: Final = 1 << 0
WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
MAKE_CHAR: Final = 1 << 6
MAKE_BLOCK: Final = 1 << 11
TRUNCATE: Final = 1 << 14
IOCTL_DEV: Final = 1 << 15
OF_FILES: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
KNOWN_BY_ABI: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""The number of rights to files that each version of the ABI knows; later ones know no more."""

READ: Final = READ_FILE | READ_DIR
USE: Final = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV
ABI_WITH_PORTS: Final = 4
ABI_WITH_SCOPES: Final = 6
ALL_PORTS: Final = 0b11  # to bind and to connect
ALL_SCOPES: Final = 0b11  # abstract unix sockets and signals
GET_VERSION: Final = 1
RULE_PATH_BENEATH: Final = 1


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("ports", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("parent", ctypes.c_int32))


def abi_version() -> int:
    """Return the version of the kernel's ABI.

    Raises:
        OSError: the kernel has no Landlock, or it is switched off.
    """
    return system_call("landlock_create_ruleset", None, 0, GET_VERSION)


def restrict(cage: Cage) -> None:
    """Leave this process nothing but the paths of the cage, and what the system needs.

    Needs `no_new_privs`. Without a network namespace of its own, the process also loses TCP.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = abi_version()
    known = (1 << KNOWN_BY_ABI.get(version, 16)) - 1
    ruleset = _ruleset(version, known, keeps_ports=_keeps_ports(cage))
    everything = known & ~(EXECUTE | MAKE_CHAR | MAKE_BLOCK)
    rights = [
        *((path, READ | EXECUTE) for path in (*SYSTEM, *cage.code)),
        *((path, READ_DIR) for path in cage.listed),
        *((path, READ) for path in ("/proc", "/sys", "/dev", *_of_network(cage), *cage.read)),
        *((path, everything) for path in (*cage.write, *_temporary(cage))),
        *((path, USE | READ_DIR) for path in (*DEVICES, *cage.devices)),
    ]
    try:
        for path, right in rights:
            _allow(ruleset, path, right & known)
        system_call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _of_network(cage: Cage) -> tuple[str, ...]:
    return NETWORK_FILES if cage.network == "host" else ()


def _temporary(cage: Cage) -> tuple[str, ...]:
    # Without private ones, only what loaders of torch cannot do without.
    return TEMPORARY if cage.has(Layer.MOUNT_NAMESPACE) else (SHARED_MEMORY,)


def _keeps_ports(cage: Cage) -> bool:
    return cage.network == "host" or cage.has(Layer.NETWORK_NAMESPACE)


def _ruleset(version: int, known: int, *, keeps_ports: bool) -> int:
    handled = _Ruleset(known, 0, 0)
    size = 8
    if version >= ABI_WITH_PORTS:
        handled.ports = 0 if keeps_ports else ALL_PORTS
        size = 16
    if version >= ABI_WITH_SCOPES:
        handled.scopes = ALL_SCOPES
        size = 24
    return system_call("landlock_create_ruleset", ctypes.byref(handled), size, 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # what cannot be opened now is not reached later
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= OF_FILES
        rule = _PathRule(rights, parent)
        system_call("landlock_add_rule", ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)
