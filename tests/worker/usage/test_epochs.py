"""The use of a training, summed up by epoch. GPUs are fake, processes are real."""

import os

import pytest

from tests.waiting import eventually
from tests.worker.conftest import epoch_event
from tests.worker.usage.fake_nvml import UUIDS, FakeNvml
from worker.trainer.protocol import EpochEvent, StartedEvent
from worker.usage import slot
from worker.usage.epochs import EpochUse, UseSample
from worker.usage.gpus import GpuUse
from worker.usage.slot import SlotUse

STARTED = StartedEvent(
    batches_per_epoch=1,
    epochs=3,
    first_epoch=1,
    batch_size=1,
    threads=1,
    device_name="cpu",
    optimizer="none",
    lr0=None,
    train_images=1,
    val_images=1,
    environment={"torch": "2.9.1"},
)


def an_epoch(number: int, *, waited: float | None = None) -> EpochEvent:
    event = epoch_event(number, seq=number, fitness=0.5)
    return event.model_copy(update={"loader_wait_seconds": waited})


def watched(*, gpus: GpuUse | None = None) -> EpochUse:
    """Return the use of this process as if it trained; it has had a sample since it started."""
    use = EpochUse(gpus)
    use.watch(os.getpid())
    use.hear(STARTED)
    use.sample()
    return use


class TestEpochUse:
    def test_an_epoch_has_the_columns_of_the_processes(self) -> None:
        use = watched()
        use.hear(an_epoch(1))

        row = use.row_of(an_epoch(1))

        assert row.keys() == {"cpu", "memory_bytes", "read_bytes"}
        assert (row["memory_bytes"] or 0) > 1_000_000

    def test_an_epoch_on_gpus_has_their_columns_too(self) -> None:
        use = watched(gpus=GpuUse(UUIDS, nvml=FakeNvml()))
        use.hear(an_epoch(1))

        row = use.row_of(an_epoch(1))

        assert {name: row[name] for name in row if name.startswith("gpu")} == {
            "gpu_utilization": 0.9,
            "gpu_memory_bytes": 1500,
            "gpu_celsius": 67.0,
            "gpu_watts": 512.5,
        }

    def test_a_gpu_that_does_not_answer_is_null(self) -> None:
        use = watched(gpus=GpuUse(UUIDS, nvml=FakeNvml({"nvmlInit"})))
        use.hear(an_epoch(1))

        row = use.row_of(an_epoch(1))

        assert {row[name] for name in row if name.startswith("gpu")} == {None}

    def test_the_wait_for_batches_comes_with_the_event_of_the_epoch(self) -> None:
        assert EpochUse().row_of(an_epoch(1, waited=0.25)) == {"loader_wait_seconds": 0.25}

    def test_an_epoch_without_a_sample_has_no_row(self) -> None:
        use = watched()
        use.hear(an_epoch(1))
        use.hear(an_epoch(2))

        assert use.row_of(an_epoch(2)) == {}

    def test_rows_wait_until_the_database_is_back(self) -> None:
        use = watched()
        use.hear(an_epoch(1))
        use.sample()
        use.hear(an_epoch(2))

        rows = [use.row_of(an_epoch(epoch)) for epoch in (1, 2)]

        assert all("cpu" in row for row in rows)

    def test_a_row_is_used_once(self) -> None:
        use = watched()
        use.hear(an_epoch(1))
        use.row_of(an_epoch(1))

        assert use.row_of(an_epoch(1)) == {}


class TestSlotUse:
    def test_a_slot_without_a_trainer_tells_what_its_gpus_do(self) -> None:
        latest = SlotUse(GpuUse(UUIDS, nvml=FakeNvml())).latest()

        assert (latest.cpu, latest.memory_bytes) == (0.0, None)
        assert latest.gpu is not None
        assert latest.gpu.utilization == 0.9

    def test_a_slot_with_a_trainer_tells_what_its_processes_use(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(slot, "SAMPLE_SECONDS", 0.01)
        use = SlotUse(GpuUse())

        with use.sampling(use.of_training(), os.getpid()):
            eventually(lambda: (use.latest().memory_bytes or 0) > 1_000_000, within=20)

    def test_a_slot_whose_trainer_has_ended_tells_nothing_of_it(self) -> None:
        use = SlotUse(GpuUse())

        with use.sampling(use.of_training(), os.getpid()):
            pass

        assert use.latest() == UseSample(cpu=0.0, memory_bytes=None, gpu=None)
