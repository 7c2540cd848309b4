"""Start child processes that never outlive their parent."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a new session; the kernel kills it when this thread ends.

    In a new session it does not receive Ctrl-C from the terminal, so this process decides in which
    order its children stop. The kernel watches the spawning *thread*, so call this from a
    long-lived one.

    Args:
        argv: program and arguments.
        env: its whole environment. Default: that of this process.
        output: receives stdout and stderr. Default: stdout and stderr of this process.
        pass_fds: file descriptors that it inherits, with the same numbers.
        cwd: its working directory. Default: that of this process.
    """
    return subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        pass_fds=pass_fds,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509 -- calls into libc only, no lock
    )


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none is lost."""
    if _libc is not None:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def child_processes() -> set[int]:
    """Return the process ids of all children of this process, including zombies."""
    if sys.platform != "linux":
        return set()
    me = os.getpid()
    running = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid for pid in running if _parent(pid) == me}


def signal_group(process: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    """Send `signum` to the process group of a spawned process, if any of it is alive."""
    try:
        os.killpg(process.pid, signum)
    except ProcessLookupError:
        return


def _dying_with(parent: int) -> Callable[[], None] | None:
    if _libc is None:
        return None
    prctl, getppid, leave = _libc.prctl, os.getppid, os._exit

    def die_with_parent() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if getppid() != parent:  # the parent died before the call of prctl
            leave(1)

    return die_with_parent


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name may contain spaces and parentheses; the fields after it cannot.
    return int(stat.rpartition(b")")[2].split()[1])
