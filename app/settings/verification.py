"""How uploaded datasets are verified."""

import os

from pydantic import BaseModel, ConfigDict, Field

from app.settings.units import GIB


class VerificationSettings(BaseModel):
    """How many uploaded datasets a server verifies at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Number of datasets that a server verifies at once, each in a process that "
        "uses one CPU core. Default: half of the cores and at least 2, but at most one for each "
        "2 GiB of memory.",
    )

    @property
    def effective_processes(self) -> int:
        """`processes`, or its default on this machine."""
        if self.processes is not None:
            return self.processes
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return default_processes(cores or 1, memory)


def default_processes(cores: int, memory_bytes: int) -> int:
    """Return how many verifications run at once on a machine of this size.

    Two on a small machine, so that a small upload does not wait for a large one. A verification
    of large images needs about 1 GiB (64 megapixels, decoded and converted).
    """
    return max(1, min(max(2, cores // 2), memory_bytes // (2 * GIB)))
