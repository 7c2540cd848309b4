"""Which devices of this machine are in a slot, of any home.

Each slot binds a socket in Linux's abstract namespace: its name is the lock. Any process of the
machine sees the name, whatever its home and its user; no file is made that another user could
replace, and the kernel releases the name when the process ends, however it ends. Containers have
names of their own unless they use the host's network: there, the container engine gives out GPUs.
"""

import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from app.core.errors import Conflict
from app.core.logging import get_logger

CPU: Final = "cpu/"
EXCLUSIVE_CPU: Final = "exclusive-cpu"
NAMES: Final = Path("/proc/net/unix")

prefix = "trainyard/"
"""Begins every name. A test that must not see the slots of others has a prefix of its own."""

log = get_logger(__name__)


class DeviceTaken(Conflict):
    """A slot of this machine, perhaps of another home, has the device."""

    slug, title = "device-taken", "The device is in another slot"


@contextmanager
def held_gpu(uuid: str) -> Iterator[None]:
    """Hold a GPU for this process.

    Args:
        uuid: the driver's id of the GPU, which is the same for every process of the machine.

    Raises:
        DeviceTaken: another process of this machine holds it.
    """
    with _bound(f"gpu/{uuid}", f"The GPU {uuid} is in a slot of another worker"):
        yield


@contextmanager
def held_cpu(*, exclusive: bool) -> Iterator[None]:
    """Register a slot on the CPU; log a warning if this machine has another one.

    Raises:
        DeviceTaken: there is another one, and this or the other slot is exclusive.
    """
    taken = "This machine already has a slot on the CPU, and TRAINYARD_EXCLUSIVE_CPU is set"
    mine = f"{CPU}{os.getpid()}/{secrets.token_hex(4)}"
    with ExitStack() as stack:
        # First tell others, then look for them: of two that start at once, one sees the other.
        stack.enter_context(_bound(mine, taken))
        if exclusive:
            stack.enter_context(_bound(EXCLUSIVE_CPU, taken))
        others = cpu_slots_of_this_machine() - {os.getpid()}
        if others and (exclusive or EXCLUSIVE_CPU in _names()):
            raise DeviceTaken(f"{taken} (process {min(others)}).")
        if others:
            log.warning("cpu.shared", slots=len(others) + 1, processes=sorted(others))
        yield


def cpu_slots_of_this_machine() -> set[int]:
    """Return the process ids of all slots on the CPU of this machine, of any home and user."""
    found = (name.removeprefix(CPU).split("/")[0] for name in _names() if name.startswith(CPU))
    return {int(pid) for pid in found if pid.isascii() and pid.isdigit()}


def _names() -> set[str]:
    """Return our names on this machine; `/proc` shows the first byte of each as @."""
    if not NAMES.exists():
        return set()
    fields = (line.split() for line in NAMES.read_text(errors="replace").splitlines())
    ours = f"@{prefix}"
    return {each[-1].removeprefix(ours) for each in fields if each and each[-1].startswith(ours)}


@contextmanager
def _bound(name: str, taken: str) -> Iterator[None]:
    if sys.platform != "linux":  # no abstract names, and no GPUs that we know
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
        try:
            holder.bind(f"\0{prefix}{name}")
        except OSError:
            raise DeviceTaken(f"{taken}.") from None
        yield
