"""The use of a slot at its heartbeats, and its means over 30 seconds."""

from dataclasses import dataclass, field

from app.fleet.use import MEANS
from worker.usage.epochs import UseSample
from worker.usage.gpus import GpuSample, GpuUse
from worker.usage.means import UseRecord
from worker.usage.slot import SlotUse


@dataclass
class Watched:
    """A slot with one GPU whose use a test sets, and the clock."""

    now: float = 0.0
    utilization: float | None = None
    means: UseRecord = field(init=False)

    def __post_init__(self) -> None:
        self.means = UseRecord(_Slot(self), clock=lambda: self.now)

    def look(self, at: float, utilization: float | None) -> tuple[float | None, ...]:
        self.now, self.utilization = at, utilization
        return self.means.measure().means


class _Slot(SlotUse):
    def __init__(self, watched: Watched) -> None:
        super().__init__(GpuUse())
        self._watched = watched

    def latest(self) -> UseSample:
        return UseSample(0.5, None, GpuSample(utilization=self._watched.utilization))


class TestMeans:
    def test_a_mean_is_complete_after_30_seconds(self) -> None:
        watched = Watched()

        assert watched.look(10, 0.2) == ()
        assert watched.look(20, 0.4) == ()
        assert watched.look(31, 1.0) == (0.30000000000000004,)

    def test_a_period_without_a_look_has_no_mean(self) -> None:
        watched = Watched()
        watched.look(10, 0.5)

        assert watched.look(95, 0.5) == (0.5, None, None)

    def test_a_gpu_that_does_not_answer_has_no_mean(self) -> None:
        watched = Watched()
        watched.look(10, None)

        assert watched.look(40, None) == (None,)

    def test_the_means_of_15_minutes_are_kept(self) -> None:
        watched = Watched()
        for number in range(40):
            watched.look(number * 30 + 1, number / 100)

        kept = watched.look(40 * 30 + 1, 0.0)

        assert kept == tuple(number / 100 for number in range(40 - MEANS, 40))

    def test_a_long_silence_leaves_no_more_than_15_minutes(self) -> None:
        watched = Watched()

        assert watched.look(1e9, 0.5) == (None,) * MEANS


class TestNow:
    def test_a_slot_on_the_cpu_reports_cores_and_memory(self) -> None:
        now = UseRecord(SlotUse(GpuUse())).measure().now

        assert (now.utilization, now.cores_busy, now.memory_bytes, now.watts) == (0, 0, None, None)
        assert (now.memory_total_bytes or 0) > 0
