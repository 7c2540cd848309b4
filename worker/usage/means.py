"""The use of a slot as its heartbeats report it: now, and as means of the last 15 minutes."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from statistics import fmean

import psutil

from app.fleet.use import MEAN_SECONDS, MEANS, MeasuredUse
from app.fleet.use import SlotUse as ReportedUse
from worker.usage.epochs import UseSample
from worker.usage.slot import SlotUse


class UseRecord:
    """Looks at a slot at each heartbeat and keeps means of 30 seconds. For one thread.

    Args:
        slot: what is looked at.
        clock: monotonic seconds.
    """

    def __init__(self, slot: SlotUse, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._slot = slot
        self._clock = clock
        self._means: list[float | None] = []
        self._current: list[float] = []
        self._began = clock()
        self._memory_bytes = psutil.virtual_memory().total
        self._cores = os.cpu_count() or 1

    def measure(self) -> MeasuredUse:
        """Look at the slot, and return its use now and the means so far."""
        self._close_periods()
        now = self._reported(self._slot.latest())
        if now.utilization is not None:
            self._current.append(now.utilization)
        return MeasuredUse(now, tuple(self._means))

    def _close_periods(self) -> None:
        """End each period that is over; one without a look has no mean."""
        over = int((self._clock() - self._began) // MEAN_SECONDS)
        self._began += over * MEAN_SECONDS
        for _ in range(min(over, MEANS)):
            self._means.append(fmean(self._current) if self._current else None)
            self._current = []
        self._means = self._means[-MEANS:]

    def _reported(self, sample: UseSample) -> ReportedUse:
        if sample.gpu is not None:
            return ReportedUse(**asdict(sample.gpu), cores_busy=sample.cpu)
        return ReportedUse(
            utilization=min(1.0, sample.cpu / self._cores),
            memory_bytes=sample.memory_bytes,
            memory_total_bytes=self._memory_bytes,
            cores_busy=sample.cpu,
        )
