"""What the GPUs of a slot do, by NVML. Whatever NVML cannot tell is None."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from app.core.logging import get_logger

RETRY_SECONDS: Final = 60.0
"""After a failure NVML is asked again this much later: a driver that is gone may take seconds."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GpuSample:
    """The GPUs of a slot at one moment, whichever process uses them.

    Args:
        utilization: share of the last moments in which a kernel ran, from 0 to 1; mean of all GPUs.
        memory_bytes: memory in use; sum of all GPUs.
        memory_total_bytes: their memory; sum of all GPUs.
        celsius: temperature of the hottest.
        watts: power; sum of all GPUs.
    """

    utilization: float | None = None
    memory_bytes: int | None = None
    memory_total_bytes: int | None = None
    celsius: float | None = None
    watts: float | None = None


class GpuUse:
    """Measures some GPUs of this machine. Never raises, whatever the driver answers. Thread-safe.

    Args:
        uuids: the driver's ids of the GPUs; none for a slot on the CPU.
        nvml: the module `pynvml`, which is imported when it is first needed, or what answers in
            its place.
    """

    def __init__(self, uuids: Sequence[str] = (), *, nvml: Any = None) -> None:  # noqa: ANN401 -- pynvml has no types
        self._uuids = tuple(uuids)
        self._nvml = nvml
        self._turn = threading.Lock()
        self._handles: list[Any] | None = None
        self._retry_at = 0.0

    def sample(self) -> GpuSample | None:
        """Return what the GPUs do now; None if there is no GPU."""
        if not self._uuids:
            return None
        with self._turn:
            return self._sample() if self._opened() else GpuSample()

    def _sample(self) -> GpuSample:
        nvml = self._nvml
        rates = self._each(lambda gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
        used = self._each(lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used)
        total = self._each(lambda gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total)
        celsius = self._each(
            lambda gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)
        )
        milliwatts = self._each(nvml.nvmlDeviceGetPowerUsage)
        if not any((rates, used, total, celsius, milliwatts)):
            self._close()  # a driver that was loaded again knows none of the handles
        return GpuSample(
            utilization=sum(rates) / len(rates) / 100 if rates else None,
            memory_bytes=int(sum(used)) if used else None,
            memory_total_bytes=int(sum(total)) if total else None,
            celsius=float(max(celsius)) if celsius else None,
            watts=sum(milliwatts) / 1000 if milliwatts else None,
        )

    def _opened(self) -> list[Any]:
        """Return the handles of the GPUs; none while NVML does not answer."""
        if self._handles is not None:
            return self._handles
        if time.monotonic() < self._retry_at:
            return []
        try:
            self._nvml = self._nvml or import_module("pynvml")
            self._nvml.nvmlInit()
            self._handles = [self._nvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in self._uuids]
        except Exception as error:  # noqa: BLE001 -- measuring must never end a training
            log.warning("gpu.not_measured", error=str(error))
            self._retry_at = time.monotonic() + RETRY_SECONDS
        return self._handles or []

    def _close(self) -> None:
        self._handles = None
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _each(self, value_of: Callable[[Any], float]) -> list[float]:
        """Return a value of every GPU; none if one of the GPUs does not tell."""
        try:
            return [value_of(gpu) for gpu in self._handles or ()]
        except Exception:  # noqa: BLE001 -- as above; a GPU need not know every value
            return []
