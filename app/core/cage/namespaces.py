"""Namespaces of a cage: users, mounts, processes and network interfaces of its own."""

import fcntl
import os
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.core.cage.definition import Cage, CageFailed, Layer
from app.core.cage.kernel import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    unshare,
)

SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1
_INTERFACE: Final = struct.Struct("16sh22x")

FLAGS: Final = {
    Layer.MOUNT_NAMESPACE: CLONE_NEWNS | CLONE_NEWIPC,
    Layer.PROCESS_NAMESPACE: CLONE_NEWPID,
    Layer.NETWORK_NAMESPACE: CLONE_NEWNET,
}


def make_namespaces(cage: Cage) -> None:
    """Give this process the namespaces of the cage; that of processes holds its children only.

    Raises:
        CageFailed: the kernel refuses one.
    """
    if cage.has(Layer.USER_NAMESPACE):
        try:
            _own_user_namespace()
        except OSError as error:
            raise CageFailed(Layer.USER_NAMESPACE, error) from error
    for layer, flags in FLAGS.items():
        if not cage.has(layer) or (layer is Layer.NETWORK_NAMESPACE and cage.network == "host"):
            continue
        try:
            unshare(flags)
            if layer is Layer.NETWORK_NAMESPACE:
                _start_loopback()
        except OSError as error:
            raise CageFailed(layer, error) from error


def _own_user_namespace() -> None:
    """Have all capabilities over the namespaces that follow, as the same user as before."""
    user, group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")


def _start_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        found = fcntl.ioctl(any_socket, SIOCGIFFLAGS, _INTERFACE.pack(b"lo", 0))
        flags = _INTERFACE.unpack(found)[1] | IFF_UP
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, _INTERFACE.pack(b"lo", flags))


def namespace_of_users(ours: tuple[int, int], user: int) -> int:
    """Return a descriptor of a user namespace in which `user` stands for us.

    Args:
        ours: the ids of our user and group.
        user: the id of the other user and of its group.

    Raises:
        OSError: this process may not make one.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _stay_in_user_namespace(writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            if pipe.read(1) != b"\n":
                raise OSError("the kernel refuses a user namespace")
        for kind, own in zip(("uid", "gid"), ours, strict=True):
            Path(f"/proc/{child}/{kind}_map").write_text(f"{own} {user} 1", encoding="ascii")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _stay_in_user_namespace(writing: int) -> None:
    with suppress(OSError):
        unshare(CLONE_NEWUSER)
        os.write(writing, b"\n")
        os.close(writing)
        signal.pause()
    os._exit(1)
