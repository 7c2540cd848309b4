"""Two processes between a supervisor and a process in its own namespace of processes.

The outer one stays outside, under the id that the supervisor knows: it passes signals on, and ends
as the process ended. The inner one is the first process of the namespace. When it ends, the kernel
kills everything in the namespace: also what made a session of its own and cleared its environment.
"""

import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from app.core.cage.kernel import PR_SET_DUMPABLE, prctl
from app.core.cage.privileges import die_with

PASSED_ON: Final = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
    }
)
WATCHED: Final = PASSED_ON | {signal.SIGCHLD}
_STATUS: Final = struct.Struct("=i")


def fork_below_parents(prepare: Callable[[], None]) -> None:
    """Fork twice, and return only in the innermost process, which leads a session of its own.

    Args:
        prepare: what the first process of the namespace does before the second fork.

    Raises:
        Exception: what `prepare` raised, in the inner process.
    """
    outer, inner = socket.socketpair()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    child = os.fork()
    if child:
        inner.close()
        _stay_outside(child, outer)
    outer.close()
    die_with(parent=0)
    if _is_closed(inner):  # the outer process died before
        os._exit(1)
    os.setpgid(0, 0)  # signals to the group of the outer process reach this one once only
    prepare()
    child = os.fork()
    if child:
        _stay_inside(child, inner)
    inner.close()
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _stay_outside(inner: int, channel: socket.socket) -> NoReturn:
    _keep_only(channel.fileno())
    while True:
        received = signal.sigwaitinfo(WATCHED).si_signo
        if received != signal.SIGCHLD:
            os.kill(inner, received)  # not reaped before: it exists
            continue
        ended, status = os.waitpid(inner, os.WNOHANG)
        if ended:
            told = channel.recv(_STATUS.size)
            _end_as(_STATUS.unpack(told)[0] if len(told) == _STATUS.size else status)


def _stay_inside(program: int, channel: socket.socket) -> NoReturn:
    _keep_only(channel.fileno())
    while True:
        received = signal.sigwaitinfo(WATCHED).si_signo
        if received != signal.SIGCHLD:
            _pass_on(program, received)
            continue
        for ended, status in _ended_children():
            if ended == program:
                channel.send(_STATUS.pack(status))
                os._exit(0)


def _pass_on(program: int, received: int) -> None:
    if received == signal.SIGTERM:
        with suppress(ProcessLookupError):  # it does not lead its group yet
            os.killpg(program, received)
            return
    os.kill(program, received)


def _ended_children() -> list[tuple[int, int]]:
    """Reap and return the children that have ended; orphans of the namespace are among them."""
    ended = []
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(found)
    return ended


def _end_as(status: int) -> NoReturn:
    """End in the way in which another process ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        prctl(PR_SET_DUMPABLE, 0)  # no core dump: it would be that of this process
        if number not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _keep_only(descriptor: int) -> None:
    """Close everything else: who waits for the end of a pipe must not wait for this process."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))


def _is_closed(channel: socket.socket) -> bool:
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return any(event & (select.POLLHUP | select.POLLIN) for _, event in poll.poll(0))
