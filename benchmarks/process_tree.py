"""CPU time of a process and everything below it, read from /proc."""

import psutil


def cpu_seconds(root: int) -> float:
    """CPU seconds so far, user and system, of a process and of its descendants, the ended too.

    Resolution is the kernel's tick (10 ms) for each process.
    """
    try:
        process = psutil.Process(root)
        times = process.cpu_times()
        children = process.children()
    except psutil.NoSuchProcess:
        return 0.0
    own = times.user + times.system + times.children_user + times.children_system
    below = (child.pid for child in children)
    return own + sum(cpu_seconds(pid) for pid in below)
