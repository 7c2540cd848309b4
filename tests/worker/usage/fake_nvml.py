"""A stand-in for NVML: no machine of the tests has a GPU."""

from dataclasses import dataclass, field
from types import SimpleNamespace

UUIDS = ("GPU-0", "GPU-1")


class FakeNvmlError(Exception):
    """The error that NVML raises for a value that a GPU does not know."""


@dataclass
class FakeNvml:
    """Stands in for the driver of two GPUs; it lacks the functions named in `failing`."""

    failing: set[str] = field(default_factory=set)
    inits: int = 0
    NVML_TEMPERATURE_GPU: int = 0

    def nvmlInit(self) -> None:  # noqa: N802 -- the driver's name
        self.inits += 1
        self._check("nvmlInit")

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802 -- as above
        self._check("nvmlDeviceGetHandleByUUID")
        return UUIDS.index(uuid)

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> SimpleNamespace:  # noqa: N802 -- as above
        self._check("nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=(80, 100)[gpu], memory=1)

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> SimpleNamespace:  # noqa: N802 -- as above
        self._check("nvmlDeviceGetMemoryInfo")
        return SimpleNamespace(used=(1000, 500)[gpu], total=4000)

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:  # noqa: N802 -- as above
        self._check("nvmlDeviceGetTemperature")
        assert sensor == self.NVML_TEMPERATURE_GPU
        return (60, 67)[gpu]

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:  # noqa: N802 -- as above
        self._check("nvmlDeviceGetPowerUsage")
        return (300_000, 212_500)[gpu]

    def _check(self, function: str) -> None:
        if function in self.failing:
            raise FakeNvmlError(function)
