"""Slots have names, are passed to the trainer, and are each held by a single process."""

from pathlib import Path

import pytest

from worker.slots import Slot, SlotsNotUnderstood, SlotTaken, node_id, parse_slots, slot_lock


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
