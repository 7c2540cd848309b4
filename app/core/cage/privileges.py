"""What a process gives up of itself: its user, capabilities, and limits."""

import ctypes
import os
import resource
import signal
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.core.cage.definition import Cage, CageFailed, Layer
from app.core.cage.kernel import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    prctl,
    system_call,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CAPABILITIES_VERSION: Final = 0x20080522
MOST_CAPABILITIES: Final = 64
CAP_SYS_ADMIN: Final = 21


def give_up_privileges(cage: Cage) -> None:
    """Give up limits, user and capabilities, in the order in which the kernel allows it.

    Raises:
        CageFailed: the kernel refuses one.
    """
    steps: dict[Layer, Callable[[], object]] = {
        Layer.LIMITS: lambda: _lower_limits(cage),
        Layer.CAPABILITIES: _empty_bounding_set,
        Layer.OWN_USER: lambda: _become(cage),
        Layer.NO_NEW_PRIVILEGES: lambda: prctl(PR_SET_NO_NEW_PRIVS, 1),
    }
    for layer, step in steps.items():
        if cage.has(layer):
            try:
                step()
            except (OSError, ValueError) as error:
                raise CageFailed(layer, error) from error
    if cage.has(Layer.CAPABILITIES):
        try:
            _drop_capabilities()
        except OSError as error:
            raise CageFailed(Layer.CAPABILITIES, error) from error


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; a change of user forgets that.

    Args:
        parent: the process id of the parent, asked for before; 0 if it is in another namespace.
    """
    prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def may_mount() -> bool:
    """Return whether this process may make namespaces without one of users."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    held = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(held.split()[1], 16) & 1 << CAP_SYS_ADMIN)


def _lower_limits(cage: Cage) -> None:
    for kind, limit in {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: _limit_of_processes(cage),
        resource.RLIMIT_NOFILE: cage.open_files,
        resource.RLIMIT_FSIZE: cage.file_bytes,
        resource.RLIMIT_AS: cage.memory_bytes,
    }.items():
        if limit is not None:
            soft, hard = (
                limit if given == resource.RLIM_INFINITY else min(limit, given)
                for given in resource.getrlimit(kind)
            )
            resource.setrlimit(kind, (soft, hard))


def _limit_of_processes(cage: Cage) -> int | None:
    """Return the limit of processes and threads of this user.

    The kernel counts those outside of the cage, too, unless the user or its namespace is its own.
    """
    if cage.processes is None or cage.has(Layer.OWN_USER) or cage.has(Layer.USER_NAMESPACE):
        return cage.processes
    return cage.processes + _threads_of(os.getuid())


def _threads_of(user: int) -> int:
    threads = 0
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == user:
                threads += sum(1 for _ in (entry / "task").iterdir())
    return threads


def _empty_bounding_set() -> None:
    for capability in range(MOST_CAPABILITIES):
        with suppress(OSError):  # the kernel has fewer, or this process may not: then it has none
            if prctl(PR_CAPBSET_READ, capability):
                prctl(PR_CAPBSET_DROP, capability)


def _become(cage: Cage) -> None:
    user = cage.user
    if user is None:
        return
    os.setgroups(_groups_of(cage.devices))
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    prctl(PR_SET_DUMPABLE, 1)  # otherwise it could not read its own files in /proc


def _groups_of(devices: tuple[str, ...]) -> list[int]:
    """Return the groups that may use the devices, such as `render`."""
    found = set()
    for device in devices:
        with suppress(OSError):
            status = Path(device).stat()
            if stat.S_ISCHR(status.st_mode) and status.st_mode & stat.S_IRGRP:
                found.add(status.st_gid)
    return sorted(found - {0})


def _drop_capabilities() -> None:
    with suppress(OSError):  # a kernel without ambient capabilities
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    system_call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
