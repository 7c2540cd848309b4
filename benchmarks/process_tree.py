"""CPU time of a process and its descendants, read from /proc."""

import psutil


def cpu_seconds(root: int) -> float:
    """Return the user and system CPU seconds of a process and its descendants, also ended ones.

    The resolution is the kernel's tick (10 ms) per process.
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
