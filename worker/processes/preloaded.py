"""A parent that has imported torch and Ultralytics, and forks one child per order.

`preloaded.py SOCKET MODULE…` is run as a file: it imports nothing of Trainyard, and blocks such
imports. It never trains, computes nothing with torch (that would start threads, which do not
survive a fork), asks nothing of CUDA, reads no job and has no secret in its environment. A child
replaces its environment, files and folders, and then runs a program of Python like a new process.

Each message on the socket is one JSON object, and each has one answer:

- `{"argv", "environment", "folder", "attempt", "numbers", "cage", "code"}` with the descriptors of
  `numbers`, the first of which becomes stdout and stderr: fork. The child enters the cage, if it is
  not null, with code from the folder `code`. Answer: `{"pid"}` and a pidfd, or `{"not_equal"}`, if
  a new process would import otherwise, or `{"refused"}`, if a fork fails.
- `{"exit_code_of": pid}` of a child that has ended: `{"exit_code"}`, negative for a signal. The
  child stays a zombie, so that its process id names no other process.
- `{"release": pid}`: reap the child. Answer: `{"released"}`.
"""

import ctypes
import fcntl
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final, cast

PR_SET_PDEATHSIG: Final = 1
MARK: Final = b"TRAINYARD_ATTEMPT"
MARK_ROOM: Final = 200
"""Bytes that the starter reserves for the mark in this process's environment."""
MAX_MESSAGE: Final = 256 * 1024
OWN_PACKAGES: Final = frozenset({"app", "worker"})
READ_LATE: Final = frozenset(
    {"TMPDIR", "TRAINYARD_ATTEMPT", "TRAINYARD_EVENTS_FD", "PYTHONPATH", "CUDA_VISIBLE_DEVICES"}
)
"""Variables that no import keeps: a child may have other values than this process."""
STARTUP_MODULES: Final = ("sitecustomize", "usercustomize")
"""Modules that Python imports at its start, which a fork does not repeat."""
FAILED: Final = 70
"""Exit code of a child that could not become the process that was ordered."""
READY: Final = b"ready"

_libc = ctypes.CDLL(None, use_errno=True)


class BlockingFinder:
    """A finder that hides Trainyard: weights are proven to work without it."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse the packages of Trainyard; leave all others to the next finder."""
        if name.partition(".")[0] in OWN_PACKAGES:
            raise ModuleNotFoundError(f"{name} must not be needed", name=name)


BLOCKED: Final = BlockingFinder()


class NotEqual(Exception):
    """A new process would import something else than this one did; the text is the reason."""


class NoFork(Exception):
    """No fork is possible, or it is not usable; the text is the reason."""


@dataclass(frozen=True)
class PreloadedModules:
    """What the imports left behind, and what they had read.

    `places` are the variables that contain the folder `home`, each as a dict and a key.
    """

    home: str
    environment: Mapping[str, str]
    added: Mapping[str, str]
    places: Sequence[tuple[dict[Any, Any], object]]
    mark_address: int

    @classmethod
    def load(cls, names: Sequence[str]) -> "PreloadedModules":
        """Import the modules, and compare the environment before and after."""
        mark_address = _address_of_mark()
        _write_mark(mark_address, os.environ["TRAINYARD_ATTEMPT"].rstrip())
        before = dict(os.environ)
        for name in names:
            importlib.import_module(name)
        added = {name: value for name, value in os.environ.items() if before.get(name) != value}
        home = before["HOME"]
        return cls(home, before, added, list(_places_with(home)), mark_address)

    def check(self, environment: Mapping[str, str]) -> None:
        """Check that imports in this environment would have had the same results.

        Raises:
            NotEqual: A variable differs that imports read, or PYTHONPATH changes an import.
        """
        home = environment.get("HOME", "")
        here = {name: value.replace(self.home, home) for name, value in self.environment.items()}
        differing = sorted(
            name
            for name in here.keys() | environment.keys()
            if name not in READ_LATE and here.get(name) != environment.get(name)
        )
        if differing:
            raise NotEqual(f"other environment variables: {', '.join(differing)}")
        folders = search_path(environment)
        imported = {name.partition(".")[0] for name in sys.modules} - {"__main__"}
        for name in sorted(imported.union(STARTUP_MODULES)):
            found = PathFinder.find_spec(name, folders)
            if found is not None and found.origin not in {None, _origin_of(name)}:
                raise NotEqual(f"PYTHONPATH has a module {name}")


def _origin_of(name: str) -> str | None:
    return getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None)


def main() -> None:
    """Import everything, report readiness, and answer orders until the socket closes."""
    number, *modules = sys.argv[1:]
    with socket.socket(fileno=int(number)) as control:
        sys.meta_path.insert(0, BLOCKED)
        preloaded = PreloadedModules.load(modules)
        gc.collect()
        gc.freeze()  # collections in children would otherwise copy every page
        _answer(control, {"ready": True, "doubts": list(_doubts())})
        while (order := _receive(control)) is not None:
            _handle(control, *order, preloaded)


def _doubts() -> Iterator[str]:
    """Yield the reasons why children of this process could differ from new processes."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        yield f"importing started {threads - 1} threads, which do not survive a fork"
    if own := _own_modules():
        yield f"importing needed {', '.join(own)}"


def _own_modules() -> list[str]:
    return sorted(name for name in sys.modules if name.partition(".")[0] in OWN_PACKAGES)


def _handle(
    control: socket.socket, order: dict[str, Any], files: list[int], preloaded: PreloadedModules
) -> None:
    if "release" in order:
        os.waitpid(order["release"], 0)
        _answer(control, {"released": order["release"]})
    elif "exit_code_of" in order:
        _answer(control, {"exit_code": _exit_code_of(order["exit_code_of"])})
    else:
        try:
            preloaded.check(order["environment"])
            pid = _fork(order, files, preloaded)
        except NotEqual as error:
            _answer(control, {"not_equal": str(error)})
        except (NoFork, OSError) as error:
            _answer(control, {"refused": str(error)})
        else:
            pidfd = os.pidfd_open(pid)
            _answer(control, {"pid": pid}, [pidfd])
            os.close(pidfd)
        finally:
            for file in files:
                os.close(file)


def _exit_code_of(pid: int) -> int:
    ended = cast(
        "os.waitid_result", os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    )  # None only with WNOHANG
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _fork(order: dict[str, Any], files: list[int], preloaded: PreloadedModules) -> int:
    """Fork a child and return its id once it runs like a new process.

    Raises:
        NoFork: The child could not become one, and is reaped.
    """
    parent = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _leave_as(lambda: _run(order, files, preloaded, parent, writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        report = pipe.read()
    if report != READY:
        os.waitpid(pid, 0)
        raise NoFork(f"the fork is not usable: {report.decode() or 'it died'}")
    return pid


def _leave_as(program: Callable[[], int]) -> None:
    code = FAILED
    try:
        code = program()
    except BaseException:  # noqa: BLE001 -- as Python does with the exception that ends a process
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)


def _run(
    order: dict[str, Any], files: list[int], preloaded: PreloadedModules, parent: int, ready: int
) -> int:
    """Become the process that was ordered, report it, and run its program."""
    try:
        os.setsid()
        _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call of prctl
            return FAILED
        ready = _place(files, order["numbers"], ready)
        os.chdir(order["folder"])
        environment = _settle(order, preloaded)
        _check_cuda()
        _enter_cage(order["cage"], order["code"])
    except Exception as error:  # noqa: BLE001 -- the starter reports it, and starts a new process
        os.write(ready, f"{type(error).__name__}: {error}".encode())
        return FAILED
    os.write(ready, READY)
    os.close(ready)
    return _run_python(order["argv"], environment)


def _enter_cage(cage: str | None, code: str) -> None:
    """Enter the cage, perhaps as a grandchild, and forget the code for it: see `app.core.cage`."""
    if cage is not None:
        sys.meta_path.remove(BLOCKED)
        sys.path.insert(0, code)
        importlib.import_module("app.core.cage.enter").enter_as_written(cage)
        sys.path.remove(code)
        for name in _own_modules():
            del sys.modules[name]
        sys.meta_path.insert(0, BLOCKED)


def _check_cuda() -> None:
    """Check that no import asked CUDA for anything, which would make it useless after a fork.

    Raises:
        NoFork: An import did.
    """
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda._is_in_bad_fork():  # noqa: SLF001 -- no public name
        raise NoFork("an import asked CUDA for something, which makes it useless after a fork")


def _place(files: list[int], numbers: list[int], kept: int) -> int:
    """Give files the numbers of the order, `kept` a number above them, and close all others."""
    free = max(2, *numbers) + 1
    high = [fcntl.fcntl(file, fcntl.F_DUPFD, free) for file in (*files, kept)]  # ascending
    os.closerange(3, free)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for file, number in zip(high[:-1], numbers, strict=True):
        os.dup2(file, number)  # inheritable, as after an exec
    os.dup2(numbers[0], 2)
    os.closerange(max(high) + 1, os.sysconf("SC_OPEN_MAX"))
    for file in range(free, high[-1]):
        with suppress(OSError):  # not open
            os.close(file)
    return high[-1]


def _settle(order: dict[str, Any], preloaded: PreloadedModules) -> dict[str, str]:
    """Replace the environment and what imports kept of it; return the new environment."""
    home = order["environment"]["HOME"]
    added = {name: value.replace(preloaded.home, home) for name, value in preloaded.added.items()}
    environment = {**order["environment"], **added, MARK.decode(): order["attempt"]}
    os.environ.clear()
    os.environ.update(environment)
    _write_mark(preloaded.mark_address, order["attempt"])
    if tempfile.tempdir is not None:
        tempfile.tempdir = None
        tempfile.gettempdir()
    for kept, key in preloaded.places:  # not with []: the settings would write their file
        dict.__setitem__(kept, key, _replaced(kept[key], preloaded.home, home))
    _seed()
    return environment


def _seed() -> None:
    if "numpy" in sys.modules:  # importing it draws a seed, as importing torch does
        sys.modules["numpy"].random.seed(None)
    if "torch" in sys.modules:
        sys.modules["torch"].seed()


def _places_with(folder: str) -> Iterator[tuple[dict[Any, Any], object]]:
    """Yield dict and key of what modules keep of a folder, laid out like that of an attempt."""
    for module in list(sys.modules.values()):
        kept: dict[Any, Any] = getattr(module, "__dict__", {})
        for name, value in list(kept.items()):
            if _has(value, folder):
                yield kept, name
            elif type(value) is dict:
                yield from _places_in(value, folder)
    if "ultralytics.utils" in sys.modules:
        settings = sys.modules["ultralytics.utils"].__dict__["SETTINGS"]
        yield from _places_in(settings, folder)
        yield from _places_in(vars(settings), folder)


def _places_in(kept: dict[Any, Any], folder: str) -> Iterator[tuple[dict[Any, Any], object]]:
    return ((kept, key) for key, value in list(kept.items()) if _has(value, folder))


def _has(value: object, folder: str) -> bool:
    # By type() and not isinstance(): that asks some lazy objects for an attribute.
    kind = type(value)
    if kind is str or issubclass(kind, Path):
        return folder in str(value)
    if kind in {list, tuple}:
        parts: Any = value
        return any(_has(part, folder) for part in parts if type(part) not in {list, tuple})
    return False


def _replaced(value: Any, old: str, new: str) -> Any:  # noqa: ANN401 -- a value with the folder
    if isinstance(value, list | tuple):
        parts = (_replaced(part, old, new) if _has(part, old) else part for part in value)
        return type(value)(parts)
    return type(value)(str(value).replace(old, new))


def search_path(environment: Mapping[str, str]) -> list[str]:
    """Return the folders of PYTHONPATH."""
    return [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]


def _run_python(argv: list[str], environment: Mapping[str, str]) -> int:
    """Run `-m MODULE ARGUMENT…` or `-I FILE ARGUMENT…` as Python does; return the exit code.

    Only a module can import Trainyard: `-I` is how the proof of weights is started.
    """
    option, program, *arguments = argv
    sys.argv = [program, *arguments]
    try:
        if option == "-m":
            sys.meta_path.remove(BLOCKED)
            sys.path[:] = dict.fromkeys([*search_path(environment), *sys.path])
            importlib.invalidate_caches()
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    return 0


def _address_of_mark() -> int:
    """Return where the kernel keeps the mark's value, which `/proc/PID/environ` shows."""
    _libc.getenv.restype = ctypes.c_void_p
    _libc.getenv.argtypes = [ctypes.c_char_p]
    address = _libc.getenv(MARK)
    if address is None or len(ctypes.string_at(address)) != MARK_ROOM:
        raise ValueError(f"{MARK.decode()} must have {MARK_ROOM} characters")
    return int(address)


def _write_mark(address: int, attempt: str) -> None:
    value = attempt.encode()
    if len(value) >= MARK_ROOM:
        raise ValueError(f"the name of an attempt must be shorter than {MARK_ROOM} bytes")
    ctypes.memset(address, 0, MARK_ROOM)
    ctypes.memmove(address, value, len(value))


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    data, files, _, _ = socket.recv_fds(control, MAX_MESSAGE, 16)
    return (json.loads(data), files) if data else None


def _answer(control: socket.socket, message: dict[str, Any], files: Sequence[int] = ()) -> None:
    socket.send_fds(control, [json.dumps(message).encode()], list(files))


if __name__ == "__main__":
    main()
