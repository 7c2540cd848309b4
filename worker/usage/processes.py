"""What the processes of one training use: CPU time, memory and bytes read from storage.

Read from `/proc` without a library: one file per process and second is cheaper than what `psutil`
reads, and it has the CPU time of children that have ended.
"""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
SHARE_FOR_MEMORY: Final = 0.005
"""The share of one core that reading the memory may take. The kernel walks the page tables of each
process for it: 3 ms for a trainer, more for one with many loaders."""


@dataclass(frozen=True, slots=True)
class ProcessTotals:
    """What a group of processes has used since the first look; totals never fall.

    Args:
        cpu_seconds: CPU time of all processes, also of those that have ended.
        memory_bytes: memory now, each shared page counted once; None if there is no process.
        read_bytes: bytes read from storage, without those of the page cache; None if the kernel
            does not tell.
    """

    cpu_seconds: float
    memory_bytes: int | None
    read_bytes: int | None


@dataclass(frozen=True, slots=True)
class _Stat:
    """The fields of `/proc/<pid>/stat` that are needed; times in ticks."""

    parent: int
    session: int
    own: int
    waited: int
    started: int


class ProcessGroupUse:
    """Measures a process, its session and everything that they start.

    A process belongs if it is of the session or if its parent belongs; it then belongs as long as
    it lives, also in a session of its own. CPU time of children that have ended is in the counters
    of the parent that waited for them, and is added once. Not thread-safe.

    Args:
        pid: the process, which leads its session, and is not reaped while this is used.
    """

    def __init__(self, pid: int) -> None:
        self._leader = pid
        self._members: dict[int, _Stat] = {}
        self._foreign: set[int] = set()
        self._read: dict[int, int] = {}
        self._cpu_ticks = 0
        self._read_bytes: int | None = None
        self._memory: int | None = None
        self._memory_due = 0.0
        self._has_looked = False

    def totals(self) -> ProcessTotals:
        """Look at all processes and return what they have used since the first call."""
        before, self._members = self._members, self._find()
        read_before, self._read = self._read, _read_of(self._members, self._read)
        if self._has_looked:
            self._cpu_ticks += _ticks_between(before, self._members)
        if self._read:
            grown = max(0, sum(self._read.values()) - sum(read_before.values()))
            self._read_bytes = (self._read_bytes or 0) + (grown if self._has_looked else 0)
        self._has_looked = True
        self._measure_memory()
        return ProcessTotals(self._cpu_ticks / TICKS_A_SECOND, self._memory, self._read_bytes)

    def _find(self) -> dict[int, _Stat]:
        present = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 -- Path.iterdir is five times slower
        self._foreign &= present
        stats = {pid: stat for pid in present - self._foreign if (stat := _stat_of(pid))}
        found = {pid for pid, stat in stats.items() if self._is_known(pid, stat)}
        rest = stats.keys() - found
        while children := {pid for pid in rest if stats[pid].parent in found}:
            found |= children
            rest -= children
        self._foreign |= rest
        return {pid: stats[pid] for pid in found}

    def _is_known(self, pid: int, stat: _Stat) -> bool:
        if self._leader in {pid, stat.session}:
            return True
        known = self._members.get(pid)
        return known is not None and known.started == stat.started

    def _measure_memory(self) -> None:
        """Measure the memory, unless it was measured so recently that it would take too much."""
        if not self._members:
            self._memory = None
        elif time.monotonic() >= self._memory_due:
            began = time.thread_time()
            self._memory = sum(_memory_of(pid) for pid in self._members)
            took = time.thread_time() - began
            self._memory_due = time.monotonic() + took / SHARE_FOR_MEMORY


def _ticks_between(before: Mapping[int, _Stat], now: Mapping[int, _Stat]) -> int:
    """Return the ticks that all processes have used between two looks.

    What a process had used before it ended reappears in the counter of its parent, so it is taken
    off there. If no parent of the group waited for it, nothing reappears, and nothing is taken off.
    """
    nothing = _Stat(0, 0, 0, 0, 0)
    old = {pid: before.get(pid, nothing) for pid in now}
    own = sum(max(0, stat.own - old[pid].own) for pid, stat in now.items())
    waited = sum(max(0, stat.waited - old[pid].waited) for pid, stat in now.items())
    ended = sum(stat.own + stat.waited for pid, stat in before.items() if pid not in now)
    return own + max(0, waited - ended)


def _stat_of(pid: int) -> _Stat | None:
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # it has ended
        return None
    # The command's name may contain spaces and parentheses; the fields after it cannot.
    fields = content.rpartition(b")")[2].split()
    own, waited = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return _Stat(int(fields[1]), int(fields[3]), own, waited, started=int(fields[19]))


def _read_of(pids: Iterable[int], before: Mapping[int, int]) -> dict[int, int]:
    """Return the bytes that each process and its ended children have read from storage."""
    found = {}
    for pid in pids:
        read = _field(f"/proc/{pid}/io", b"read_bytes:")
        read = before.get(pid) if read is None else read
        if read is not None:
            found[pid] = read
    return found


def _memory_of(pid: int) -> int:
    """Return the bytes in memory, a shared page divided among the processes that share it.

    If the kernel does not tell that of this process: all its pages, also shared ones.
    """
    proportional = _field(f"/proc/{pid}/smaps_rollup", b"Pss:")
    if proportional is not None:
        return proportional * 1024
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * PAGE_BYTES
    return 0


def _field(path: str, name: bytes) -> int | None:
    try:
        with open(path, "rb") as lines:  # noqa: PTH123 -- a Path takes longer to make than to read
            for line in lines:
                if line.startswith(name):
                    return int(line.split()[1])
    except OSError:  # it has ended, or the kernel does not allow it
        return None
    return None
