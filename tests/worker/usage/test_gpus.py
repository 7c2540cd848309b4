"""What GPUs do, as NVML tells it. `FakeNvml` answers in its place."""

import pytest

from tests.worker.usage.fake_nvml import UUIDS, FakeNvml
from worker.usage.gpus import GpuSample, GpuUse

EVERY_VALUE = {
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetPowerUsage",
}


class TestGpuUse:
    def test_two_gpus_are_one_sample(self) -> None:
        sample = GpuUse(UUIDS, nvml=FakeNvml()).sample()

        assert sample == GpuSample(
            utilization=0.9,
            memory_bytes=1500,
            memory_total_bytes=8000,
            celsius=67.0,
            watts=512.5,
        )

    def test_a_slot_on_the_cpu_has_no_sample(self) -> None:
        assert GpuUse().sample() is None

    @pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
    def test_a_driver_that_does_not_answer_gives_nulls(self, function: str) -> None:
        assert GpuUse(UUIDS, nvml=FakeNvml({function})).sample() == GpuSample()

    def test_a_driver_that_does_not_answer_is_not_asked_again_at_once(self) -> None:
        nvml = FakeNvml({"nvmlInit"})
        use = GpuUse(UUIDS, nvml=nvml)

        use.sample()
        use.sample()

        assert nvml.inits == 1

    def test_a_value_that_a_gpu_does_not_know_is_null_alone(self) -> None:
        sample = GpuUse(UUIDS, nvml=FakeNvml({"nvmlDeviceGetPowerUsage"})).sample()

        assert sample is not None
        assert (sample.watts, sample.celsius) == (None, 67.0)

    def test_a_driver_that_forgets_its_gpus_is_asked_again_only_later(self) -> None:
        nvml = FakeNvml()
        use = GpuUse(UUIDS, nvml=nvml)
        use.sample()

        nvml.failing |= EVERY_VALUE

        assert [use.sample(), use.sample()] == [GpuSample(), GpuSample()]
        assert nvml.inits == 1
