"""Slots have names, are passed to the trainer, and are each held by a single process."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from app.core.devices import DeviceTaken
from worker.slots import (
    Slot,
    SlotsNotUnderstood,
    SlotTaken,
    held_devices,
    node_id,
    parse_slots,
    slot_lock,
)


class TestParseSlots:
    @pytest.mark.parametrize(
        ("text", "slots"),
        [
            ("cpu", (Slot(),)),
            ("0", (Slot((0,)),)),
            ("0;1", (Slot((0,)), Slot((1,)))),
            ("cpu;3", (Slot(), Slot((3,)))),
        ],
    )
    def test_the_cpu_and_single_gpus_are_read_as_slots(
        self, text: str, slots: tuple[Slot, ...]
    ) -> None:
        assert parse_slots(text) == slots

    @pytest.mark.parametrize("text", ["", "gpu", "-1", "0;0", "cpu;cpu", "0,1", "٣", "0;"])
    def test_text_that_names_no_slot_is_refused(self, text: str) -> None:
        with pytest.raises(SlotsNotUnderstood):
            parse_slots(text)

    def test_auto_finds_at_least_one(self) -> None:
        assert len(parse_slots("auto")) >= 1


class TestSlot:
    def test_a_gpu_slot_shows_the_trainer_its_own_gpu_only_counted_from_0(self) -> None:
        slot = Slot((3,))

        assert (slot.name, slot.device, slot.visible_gpus) == ("3", "0", "3")

    def test_a_cpu_slot_hides_all_gpus(self) -> None:
        slot = Slot()

        assert (slot.name, slot.device, slot.visible_gpus) == ("cpu", "cpu", None)


class TestSlotLock:
    def test_a_second_holder_is_refused_until_the_first_lets_go(self, tmp_path: Path) -> None:
        with slot_lock(tmp_path, Slot()), pytest.raises(SlotTaken), slot_lock(tmp_path, Slot()):
            pytest.fail("two hold the slot")

        with slot_lock(tmp_path, Slot()):
            pass

    def test_another_slot_is_free(self, tmp_path: Path) -> None:
        with slot_lock(tmp_path, Slot()), slot_lock(tmp_path, Slot((0,))):
            pass


class TestNodeId:
    def test_a_node_id_stays_the_same(self, tmp_path: Path) -> None:
        assert node_id(tmp_path / "worker") == node_id(tmp_path / "worker")

    def test_a_node_id_differs_elsewhere(self, tmp_path: Path) -> None:
        assert node_id(tmp_path / "a") != node_id(tmp_path / "b")


@dataclass(frozen=True)
class FakeNvml:
    """The driver's library on a machine with these GPUs."""

    uuids: tuple[str, ...]
    NVMLError = OSError

    def nvmlInit(self) -> None: ...  # noqa: N802 -- the driver's name

    def nvmlShutdown(self) -> None: ...  # noqa: N802

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return self.uuids[index]

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return f"a fake {handle}"

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetMemoryInfo(self, _handle: str) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=2**34)


class TestHeldDevices:
    @pytest.fixture(autouse=True)
    def two_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = FakeNvml((f"GPU-{uuid4()}", f"GPU-{uuid4()}"))
        monkeypatch.setitem(sys.modules, "pynvml", fake)

    def test_k9_a_gpu_is_in_one_slot_whatever_the_home(self) -> None:
        with (
            held_devices(Slot((1,)), exclusive_cpu=False),
            held_devices(Slot((0,)), exclusive_cpu=False),
            pytest.raises(DeviceTaken),
            held_devices(Slot((1,)), exclusive_cpu=False),
        ):
            pytest.fail("two slots have the GPU")

    def test_a_gpu_that_the_driver_does_not_report_is_refused(self) -> None:
        with (
            pytest.raises(SlotsNotUnderstood, match="no GPU 2"),
            held_devices(Slot((2,)), exclusive_cpu=False),
        ):
            pytest.fail("there is no such GPU")
