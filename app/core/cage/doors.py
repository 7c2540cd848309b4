"""`python -I doors.py TARGETS`: try everything that a cage has to forbid, and report what worked.

TARGETS is a file of JSON, see `probe.py`. The result is written to `result.json` in the working
directory: each door with null if it is shut, or with what was reached. The program stands for any
hole in a decoder, an unpickler or a plugin, so it uses nothing of ours. Where a door is open, it
changes only what was made for the probe.
"""

import ctypes
import errno
import fcntl
import json
import os
import platform
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

IS_ARM: Final = platform.machine() == "aarch64"
SYSTEM_CALLS: Final[Mapping[str, tuple[int, int, tuple[int, ...]]]] = {
    # name: (x86_64, aarch64, arguments that do no harm where the call is allowed)
    "ptrace": (101, 117, (0,)),  # traced by its parent
    "process_vm_readv": (310, 270, (1, 0, 0, 0, 0, 0)),
    "process_vm_writev": (311, 271, (1, 0, 0, 0, 0, 0)),
    "unshare": (272, 97, (0x10000000,)),
    "setns": (308, 268, (-1, 0)),
    "mount": (165, 40, (0, 0, 0, 0, 0)),
    "umount2": (166, 39, (0, 0)),
    "pivot_root": (155, 41, (0, 0)),
    "chroot": (161, 51, (0,)),
    "open_tree": (428, 428, (-1, 0, 0)),
    "keyctl": (250, 219, (0, -3, 0)),
    "add_key": (248, 217, (0, 0, 0, 0, 0)),
    "bpf": (321, 280, (0, 0, 0)),
    "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "userfaultfd": (323, 282, (1,)),
    "init_module": (175, 105, (0, 0, 0)),
    "kexec_load": (246, 104, (0, 0, 0, 0)),
    "open_by_handle_at": (304, 265, (-1, 0, 0)),
    "io_uring_setup": (425, 425, (0, 0)),
    "pidfd_getfd": (438, 438, (-1, 0, 0)),
}
REFUSALS: Final = frozenset({errno.EPERM, errno.ENOSYS, errno.EACCES})
FAMILIES: Final = {"packet": 17, "alg": 38, "vsock": 40, "bluetooth": 31}
MOST_FORKS: Final = 4096
DAEMON_SECONDS: Final = 10

Reached = str | None


def main(targets: dict[str, Any]) -> None:
    """Try each door, and write what was reached."""
    doors = dict(_doors(targets))
    Path("result.json").write_text(json.dumps(doors), encoding="utf-8")


def _doors(targets: dict[str, Any]) -> Iterator[tuple[str, Reached]]:
    yield from _doors_of_files(targets)
    yield from _doors_of_processes(targets)
    yield from _doors_of_sockets(targets)
    yield from _doors_of_the_kernel(targets)
    _start_daemon(targets["alive"])


def _doors_of_files(targets: dict[str, Any]) -> Iterator[tuple[str, Reached]]:
    for file in targets["secrets"]:
        yield f"read:{Path(file).name}", _reached(partial(_read, file))
    for folder in targets["folders"]:
        yield f"list:{folder}", _reached(partial(_listed, folder))
        yield f"write:{folder}", _reached(partial(_written, folder, targets["canary"]))
    for place in ("data", "code"):
        for how, change in WAYS_TO_CHANGE.items():
            yield f"{place}:{how}", _reached(partial(change, Path(targets[place])))
    yield "program:open", _reached(partial(_open_to_write, Path(targets["program"])))
    yield "size", _reached(partial(_write_more_than, targets["file_bytes"]))


def _doors_of_processes(targets: dict[str, Any]) -> Iterator[tuple[str, Reached]]:
    yield "environment", _found_in(targets["canary"], Path("/proc/self/environ"))
    yield "environments", _any_environment_with(targets["canary"])
    yield "memory", _any_memory()
    yield "files", _files_besides_own()
    yield "signal", _reached(partial(os.kill, targets["process"], 0))
    yield "forks", _forks_beyond(targets["processes"])


def _doors_of_sockets(targets: dict[str, Any]) -> Iterator[tuple[str, Reached]]:
    unix = socket.AF_UNIX
    yield "network", _reached(partial(_connect, socket.AF_INET, tuple(targets["address"])))
    yield "socket", _reached(partial(_connect, unix, targets["socket"]))
    yield "abstract_socket", _reached(partial(_connect, unix, "\0" + targets["abstract"]))
    for name, family in FAMILIES.items():
        yield f"family:{name}", _reached(partial(_open_socket, family))


def _doors_of_the_kernel(_targets: dict[str, Any]) -> Iterator[tuple[str, Reached]]:
    for name, call in SYSTEM_CALLS.items():
        yield f"call:{name}", _in_child(partial(_call, *call))
    for user in (0, 1):
        yield f"user:{user}", _in_child(partial(_become, user))
    yield "privileges", _privileges()


def _reached(act: Callable[[], object]) -> Reached:
    try:
        found = act()
    except OSError:
        return None
    return str(found)[:200] or "done"


def _in_child(act: Callable[[], Reached]) -> Reached:
    """Act in a process of its own, since this one must stay as it is."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(OSError):
            os.write(writing, (act() or "").encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(child, 0)
    return told or None


def _read(file: str) -> int:
    with Path(file).open("rb") as opened:
        return len(opened.read(100))


def _listed(folder: str) -> list[str]:
    """Return what the folder holds besides the way to the working directory."""
    found = {entry.name for entry in Path(folder).iterdir()}.difference(Path.cwd().parts)
    if not found:
        raise FileNotFoundError(folder)
    return sorted(found)


def _written(folder: str, canary: str) -> str:
    """Leave a file behind: who started the probe sees whether it is there, outside of the cage."""
    path = Path(folder, f"probe-{canary}")
    path.touch()
    return str(path)


def _open_to_write(path: Path) -> str:
    path.open("r+b").close()
    return str(path)


def _new_beside(path: Path) -> str:
    new = path.with_name("written-by-a-probe")
    new.touch()
    new.unlink()
    return str(new)


def _replaced(path: Path) -> str:
    mine = Path("to-replace")
    mine.touch()
    mine.replace(path)
    return str(path)


def _through_hard_link(path: Path) -> str:
    link = Path("hard-link")
    link.hardlink_to(path)
    return _open_to_write(link)


def _through_link(path: Path) -> str:
    link = Path("link")
    link.symlink_to(path)
    return _open_to_write(link)


WAYS_TO_CHANGE: Final[Mapping[str, Callable[[Path], object]]] = {
    "open": _open_to_write,
    "hard link": _through_hard_link,
    "link": _through_link,
    "chmod": partial(Path.chmod, mode=0o666),
    "touch": os.utime,
    "new": _new_beside,
    "replace": _replaced,
    "rename": lambda path: path.rename(path.with_name("renamed")),
    "unlink": Path.unlink,
}


def _found_in(canary: str, file: Path) -> Reached:
    try:
        return str(file) if canary.encode() in file.read_bytes() else None
    except OSError:
        return None


def _any_environment_with(canary: str) -> Reached:
    files = (entry / "environ" for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return next((found for file in files if (found := _found_in(canary, file))), None)


def _any_memory() -> Reached:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError), (entry / "mem").open("r+b"):
                return str(entry)
    return None


def _files_besides_own() -> Reached:
    open_now = []
    for number in range(3, 256):
        with suppress(OSError):
            open_now.append(Path(f"/proc/self/fd/{number}").readlink())
    return ", ".join(map(str, open_now)) or None


def _connect(family: int, address: Any) -> str:  # noqa: ANN401 -- of that family
    with closing(socket.socket(family, socket.SOCK_STREAM)) as connection:
        connection.settimeout(2)
        connection.connect(address)
        return "connected"


def _call(number: int, on_arm: int, arguments: tuple[int, ...]) -> Reached:
    libc = ctypes.CDLL(None, use_errno=True)
    numbers = map(ctypes.c_long, (on_arm if IS_ARM else number, *arguments))
    result = libc.syscall(*numbers)
    if result < 0 and ctypes.get_errno() in REFUSALS:
        return None
    return f"the kernel answered {result}, {os.strerror(ctypes.get_errno())}"


def _become(user: int) -> Reached:
    if os.getuid() != user:
        with suppress(OSError):
            os.setuid(user)
            return f"user {user}"
    return None


def _open_socket(family: int) -> str:
    socket.socket(family, socket.SOCK_DGRAM).close()
    return f"family {family}"


def _privileges() -> Reached:
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    held = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    if int(held["CapEff"], 16) or int(held["CapPrm"], 16):
        return f"capabilities {held['CapPrm']}"
    return None if held["NoNewPrivs"] == "1" else "programs can gain privileges"


def _write_more_than(size: int) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = Path("large")
    with path.open("wb") as file:
        file.seek(size)
        file.write(b"1")
    return f"{size + 1} bytes"


def _forks_beyond(limit: int) -> Reached:
    children: list[int] = []
    try:
        while len(children) < min(2 * limit, MOST_FORKS):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError:
        return None
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return f"{len(children)} processes"


def _start_daemon(alive: str) -> None:
    """Start a process that leaves session and environment, and locks a file for some seconds."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        with suppress(OSError):
            os.setsid()
            if os.fork() == 0:
                _become_daemon(alive, writing)
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        pipe.read()


def _become_daemon(alive: str, ready: int) -> None:
    lock = os.open(alive, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    for number in (lock, ready):
        os.set_inheritable(number, True)  # noqa: FBT003 -- it takes no keyword
    program = (
        f"import os, signal; signal.alarm({DAEMON_SECONDS}); os.close({ready}); signal.pause()"
    )
    os.execve(sys.executable, ["daemon", "-IS", "-c", program], {})  # noqa: S606 -- no shell


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
