"""The file system of a cage: a new root with nothing but what the cage and the system need.

Every path has the name that it has outside. Mounts are cloned before the new root hides them.
"""

import ctypes
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.cage.definition import Cage, CageFailed, Layer
from app.core.cage.kernel import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    mount,
    system_call,
    unmount,
)
from app.core.cage.namespaces import namespace_of_users

SYSTEM: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"),
    *("/opt/rocm", "/run/opengl-driver", "/var/cache/fontconfig"),
    *("/etc/alternatives", "/etc/fonts", "/etc/group", "/etc/host.conf", "/etc/hosts"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/locale.alias"),
    *("/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/nvidia", "/etc/OpenCL"),
    *("/etc/os-release", "/etc/passwd", "/etc/protocols", "/etc/services", "/etc/timezone"),
    "/etc/vulkan",
)
"""What programs of the system consist of. Of /etc only what has no secrets."""
NETWORK_FILES: Final = ("/etc/resolv.conf", "/etc/ssl", "/etc/pki", "/etc/ca-certificates")
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
FOLDERS_FOR_ALL: Final = 0o022
SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 -- the private one, where there is one
TEMPORARY: Final = ("/tmp", SHARED_MEMORY)  # noqa: S108 -- private ones
LINKS: Final = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/var/tmp": "/tmp",  # noqa: S108 -- the private one
}
SIZE_OF_TMP: Final = "1g"
NEW_ROOT: Final = "/tmp"  # noqa: S108 -- only the place of the new root, and only for this process
MAX_LINKS: Final = 40

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 16384, 1 << 18
MNT_DETACH: Final = 2
OPEN_TREE_CLONE: Final = 1
OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
MOVE_FROM_EMPTY_PATH: Final = 4
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_IDMAP = 1, 2, 4, 0x00100000


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class BoundPath:
    """One path of the new root. `is_ours`: as if it belonged to the user of the cage."""

    path: str
    is_writable: bool = False
    is_device: bool = False
    is_ours: bool = False

    @property
    def attributes(self) -> int:
        """What the mount forbids."""
        kept = ATTR_NOSUID if self.is_device else ATTR_NOSUID | ATTR_NODEV
        return kept if self.is_writable or self.is_device else kept | ATTR_RDONLY


def users_for_mounts(cage: Cage) -> int | None:
    """Return the user namespace that makes our files those of the cage's user; None for none.

    Raises:
        CageFailed: the kernel refuses it.
    """
    if not cage.has(Layer.OWN_USER) or cage.user is None:
        return None
    try:
        return namespace_of_users((os.geteuid(), os.getegid()), cage.user)
    except OSError as error:
        raise CageFailed(Layer.OWN_USER, error) from error


def enter_new_root(cage: Cage, users: int | None) -> None:
    """Replace the file system of this process and of all in its mount namespace.

    Raises:
        CageFailed: the kernel refuses a mount, or cannot map its users.
    """
    folder = str(Path.cwd())
    umask = os.umask(FOLDERS_FOR_ALL)  # another user must pass the folders that lead to what it has
    try:
        mount("none", "/", None, MS_REC | MS_PRIVATE)
        clones = [(binding, _clone(binding, users)) for binding in bindings(cage)]
        old_proc = None if cage.has(Layer.PROCESS_NAMESPACE) else _clone(BoundPath("/proc"), None)
        mount("none", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64m")
        _place_temporary()
        for binding, clone in clones:
            _place(clone, binding.path)
        _place_proc(old_proc)
        _place_links()
        _replace_root()
    except OSError as error:
        raise CageFailed(Layer.MOUNT_NAMESPACE, error) from error
    finally:
        os.umask(umask)
    with suppress(OSError):  # a folder outside of the cage
        os.chdir(folder)


def bindings(cage: Cage) -> list[BoundPath]:
    """Return what to bind, parents first, without what a parent already shows in the same way."""
    network = NETWORK_FILES if cage.network == "host" else ()
    wanted = [
        *(BoundPath(path) for path in ("/sys", *SYSTEM, *network)),
        *(BoundPath(path, is_device=True) for path in (*DEVICES, *cage.devices)),
        *(BoundPath(path, is_ours=True) for path in (*cage.code, *cage.read)),
        *(BoundPath(path, is_writable=True, is_ours=True) for path in cage.write),
    ]
    present = {
        name: BoundPath(name, each.is_writable, each.is_device, each.is_ours)
        for each in wanted
        for name in _names(each.path)
        if name not in TEMPORARY  # a cage has private ones
    }
    kept: dict[str, BoundPath] = {}
    for path in sorted(present, key=lambda name: name.count("/")):
        parent = next((kept[str(p)] for p in Path(path).parents if str(p) in kept), None)
        binding = present[path]
        if parent is None or binding.is_device or parent.is_writable != binding.is_writable:
            kept[path] = binding
    return list(kept.values())


def _names(path: str) -> Iterator[str]:
    """Yield the path, and where it really is; nothing if this process cannot find it."""
    with suppress(OSError):
        real = Path(path).resolve(strict=True)
        yield path
        yield str(real)


def _clone(binding: BoundPath, users: int | None) -> int:
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    path = binding.path.encode()
    clone = system_call("open_tree", AT_FDCWD, path, flags)
    try:
        attributes = _MountAttributes(binding.attributes, 0, 0, 0)
        if binding.is_ours and users is not None:
            attributes.set |= ATTR_IDMAP
            attributes.user_namespace = users
        _set_attributes(clone, b"", AT_RECURSIVE | AT_EMPTY_PATH, attributes)
    except OSError as error:
        os.close(clone)
        raise OSError(error.errno, f"{binding.path}: {error.strerror}") from error
    return clone


def _set_attributes(folder: int, path: bytes, flags: int, attributes: _MountAttributes) -> None:
    size = ctypes.sizeof(attributes)
    system_call("mount_setattr", folder, path, flags, ctypes.byref(attributes), size)


def _place(clone: int, path: str) -> None:
    target = Path(NEW_ROOT + path)
    is_folder = stat.S_ISDIR(os.fstat(clone).st_mode)
    with suppress(FileExistsError):
        if is_folder:
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch(exist_ok=False)
    source = (clone, b"", AT_FDCWD, str(target).encode(), MOVE_FROM_EMPTY_PATH)
    system_call("move_mount", *source)
    os.close(clone)


def _place_temporary() -> None:
    for path, size in zip(TEMPORARY, (f",size={SIZE_OF_TMP}", ""), strict=True):
        target = Path(NEW_ROOT + path)
        target.mkdir(parents=True)
        mount("none", str(target), "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777{size}")


def _place_links() -> None:
    """Make what links to other places; last, since until then they would lead to the old root."""
    for name, to in LINKS.items():
        link = Path(NEW_ROOT + name)
        link.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # a path of the cage is below
            link.symlink_to(to)


def _place_proc(old: int | None) -> None:
    if old is not None:
        _place(old, "/proc")
        return
    Path(NEW_ROOT, "proc").mkdir()
    forbidden = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount("proc", f"{NEW_ROOT}/proc", "proc", forbidden | MS_RDONLY)


def _replace_root() -> None:
    os.chdir(NEW_ROOT)
    system_call("pivot_root", b".", b".")  # the old root is then mounted over the new one
    unmount(".", MNT_DETACH)
    os.chdir("/")
    _set_attributes(AT_FDCWD, b"/", 0, _MountAttributes(ATTR_RDONLY, 0, 0, 0))
