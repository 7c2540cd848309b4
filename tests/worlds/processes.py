"""The world `processes`: one preloaded parent, which all tests of a test process share.

Trainings start in a tenth of a second, and import torch once per test process. What a fork could
change is tested in tests/worker/processes.
"""

import atexit
import os
import tempfile
from functools import cache
from pathlib import Path

import psutil

from app.core.cage.definition import Cage
from app.core.cage.plan import CagePlan
from worker.processes.starter import ProcessStarter


@cache
def warm_starter() -> ProcessStarter:
    """Return the starter that forks trainers; its parent ends with the test process."""
    folder = Path(tempfile.mkdtemp(prefix="trainyard-tests-"))
    starter = ProcessStarter("always", folder / f"preloaded-for-tests-{os.getpid()}")
    atexit.register(starter.close)
    return starter


@cache
def cold_starter() -> ProcessStarter:
    """Return a starter of new processes only."""
    return ProcessStarter("never", Path(tempfile.gettempdir()) / "trainyard-no-parent")


STARTERS = {"cold": cold_starter, "warm": warm_starter}


@cache
def cage_plan() -> CagePlan:
    """Return the plan of cages whose home is the folder of all tests."""
    return CagePlan(Path(tempfile.gettempdir()))


def a_cage(folder: Path, *read: Path) -> Cage:
    """Return a cage with every layer of this machine, whose process may write to a folder."""
    cage = cage_plan().cage(os.environ, read=read, write=[folder])
    assert cage is not None
    return cage


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
