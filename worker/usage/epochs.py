"""The use of a slot while it trains, as one row of numbers per epoch."""

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.core.logging import get_logger
from worker.trainer.protocol import EpochEvent, StartedEvent, TrainerEvent
from worker.usage.gpus import GpuSample, GpuUse
from worker.usage.processes import ProcessGroupUse, ProcessTotals

LEAST_SECONDS: Final = 0.1
"""The shortest time between two samples, however short the epochs are."""
MOST_WAITING: Final = 10_000
"""Epochs whose rows wait in memory for the database; the oldest are dropped."""
LOADER_WAIT: Final = "loader_wait_seconds"

EpochRow = Mapping[str, float | None]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UseSample:
    """What a slot uses at one moment.

    Args:
        cpu: cores that the trainer's processes keep busy; 0 without a trainer.
        memory_bytes: their memory; None without a trainer.
        gpu: the GPUs of the slot; None if it has none.
    """

    cpu: float
    memory_bytes: int | None
    gpu: GpuSample | None


@dataclass
class _Mean:
    """A mean of the values that are known."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float | None) -> None:
        if value is not None:
            self.total += value
            self.count += 1

    @property
    def value(self) -> float | None:
        return round(self.total / self.count, 4) if self.count else None


@dataclass
class _Most:
    """The largest of the values that are known."""

    value: int | None = None

    def add(self, value: int | None) -> None:
        if value is not None:
            self.value = value if self.value is None else max(self.value, value)


@dataclass
class _GpuSums:
    utilization: _Mean = field(default_factory=_Mean)
    memory: _Most = field(default_factory=_Most)
    celsius: _Mean = field(default_factory=_Mean)
    watts: _Mean = field(default_factory=_Mean)

    def add(self, sample: GpuSample) -> None:
        self.utilization.add(sample.utilization)
        self.memory.add(sample.memory_bytes)
        self.celsius.add(sample.celsius)
        self.watts.add(sample.watts)

    def columns(self) -> EpochRow:
        return {
            "gpu_utilization": self.utilization.value,
            "gpu_memory_bytes": self.memory.value,
            "gpu_celsius": self.celsius.value,
            "gpu_watts": self.watts.value,
        }


@dataclass
class _Sums:
    """What was sampled since an epoch began."""

    began: float
    before: ProcessTotals
    memory: _Most = field(default_factory=_Most)
    gpus: _GpuSums | None = None

    def add(self, totals: ProcessTotals, gpu: GpuSample | None) -> None:
        self.memory.add(totals.memory_bytes)
        if gpu is not None:
            self.gpus = self.gpus or _GpuSums()
            self.gpus.add(gpu)

    def row(self, at: float, totals: ProcessTotals) -> EpochRow:
        """Return the row of an epoch that ends now, with these totals."""
        used = totals.cpu_seconds - self.before.cpu_seconds
        read = totals.read_bytes
        row: EpochRow = {
            "cpu": round(used / (at - self.began), 3),
            "memory_bytes": self.memory.value,
            "read_bytes": None if read is None else read - (self.before.read_bytes or 0),
        }
        return row if self.gpus is None else {**row, **self.gpus.columns()}


class EpochUse:
    """Samples what a training uses, and sums it up by epoch. Thread-safe, and never raises.

    One thread samples once a second; another one, which reads the trainer's events, ends the epochs
    and samples then, too.

    Args:
        gpus: of the slot; None: it has none.
    """

    def __init__(self, gpus: GpuUse | None = None) -> None:
        self._gpus = gpus or GpuUse()
        self._processes: ProcessGroupUse | None = None
        self._turn = threading.Lock()
        self._at = time.monotonic()
        self._totals = ProcessTotals(0.0, None, None)
        self._sums = _Sums(self._at, self._totals)
        self._rows: deque[tuple[int, EpochRow]] = deque(maxlen=MOST_WAITING)

    def watch(self, pid: int) -> None:
        """Measure this process, its session and what they start from now on."""
        with self._turn:
            self._processes = ProcessGroupUse(pid)
            self._sample()
            self._sums = _Sums(self._at, self._totals)

    def sample(self) -> UseSample | None:
        """Look at the processes and the GPUs; None if that fails, or there is no process yet."""
        with self._turn:
            return self._sample()

    def hear(self, event: TrainerEvent) -> None:
        """Begin and end epochs as the trainer says so.

        Call it when an event arrives: it may be written much later. What is used before the first
        epoch belongs to none.
        """
        if isinstance(event, StartedEvent):
            with self._turn:
                self._sample()
                self._sums = _Sums(self._at, self._totals)
        elif isinstance(event, EpochEvent):
            self._end(event.epoch)

    def row_of(self, event: EpochEvent) -> EpochRow:
        """Return what an epoch used, with what its event says; the rows before it are forgotten."""
        waited = event.loader_wait_seconds
        wait = {} if waited is None else {LOADER_WAIT: waited}
        with self._turn:
            while self._rows and self._rows[0][0] <= event.epoch:
                epoch, row = self._rows.popleft()
                if epoch == event.epoch:
                    return {**row, **wait}
        return wait

    def _end(self, epoch: int) -> None:
        with self._turn:
            if time.monotonic() - self._at >= LEAST_SECONDS:
                self._sample()
            if self._at > self._sums.began:
                self._rows.append((epoch, self._sums.row(self._at, self._totals)))
                self._sums = _Sums(self._at, self._totals)

    def _sample(self) -> UseSample | None:
        if self._processes is None:
            return None
        try:
            at, totals, gpu = time.monotonic(), self._processes.totals(), self._gpus.sample()
        except Exception:  # measuring must never end a training
            log.exception("training.not_measured")
            return None
        elapsed = at - self._at
        cpu = (totals.cpu_seconds - self._totals.cpu_seconds) / elapsed if elapsed > 0 else 0.0
        self._at, self._totals = at, totals
        self._sums.add(totals, gpu)
        return UseSample(round(cpu, 3), totals.memory_bytes, gpu)
