"""Slots: each is a set of GPUs, or the CPU, and has one Celery process."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from app.core.devices import held_cpu, held_gpu
from app.core.errors import Conflict, Invalid
from app.core.files import locked, made_once, private_folder
from app.core.ids import new_id

CPU = "cpu"
AUTO = "auto"


class SlotsNotUnderstood(Invalid):
    """The value of `--slots` is invalid."""

    slug, title = "slots-not-understood", "The slots are invalid"


class SlotTaken(Conflict):
    """Another process serves this slot."""

    slug, title = "slot-taken", "The slot is already served"


@dataclass(frozen=True)
class Slot:
    """The devices of one process: GPU indices in the driver's order; empty for the CPU."""

    gpus: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """`cpu`, or the GPU indices such as `0` or `2,3`."""
        return ",".join(map(str, self.gpus)) or CPU

    @property
    def device(self) -> str:
        """The trainer's device: it sees only the GPUs of this slot, and counts them from 0."""
        return ",".join(str(index) for index in range(len(self.gpus))) or CPU

    @property
    def visible_gpus(self) -> str | None:
        """The trainer's CUDA_VISIBLE_DEVICES; None hides all GPUs."""
        return ",".join(map(str, self.gpus)) or None


def parse_slots(text: str) -> tuple[Slot, ...]:
    """Read `--slots`: `cpu`, GPU indices such as `0;1`, or `auto` (a slot per GPU, or the CPU).

    Raises:
        SlotsNotUnderstood: the text has another form, or names a GPU or the CPU twice.
    """
    if text == AUTO:
        return tuple(Slot((index,)) for index in range(len(gpu_devices()))) or (Slot(),)
    slots = tuple(_parse_slot(part.strip()) for part in text.split(";"))
    named = [gpu for slot in slots for gpu in slot.gpus]
    if len(set(named)) < len(named) or slots.count(Slot()) > 1:
        raise SlotsNotUnderstood(f"Each GPU and the CPU can be in one slot only, got {text!r}.")
    return slots


def _parse_slot(text: str) -> Slot:
    if text == CPU:
        return Slot()
    if not (text.isascii() and text.isdigit()):
        raise SlotsNotUnderstood(
            f'A slot is "cpu" or the index of one GPU, such as "0"; got {text!r}.'
        )
    return Slot((int(text),))


def gpu_devices() -> list[dict[str, JsonValue]]:
    """Return name, memory in bytes and UUID of each GPU, in the driver's order; [] without one."""
    pynvml = import_module("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        count = pynvml.nvmlDeviceGetCount()
        return [_device(pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]
    finally:
        pynvml.nvmlShutdown()


def _device(pynvml: Any, handle: Any) -> dict[str, JsonValue]:  # noqa: ANN401 -- it has no types
    name, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
    return {
        "name": name.decode() if isinstance(name, bytes) else str(name),
        "memory_bytes": int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        "uuid": uuid.decode() if isinstance(uuid, bytes) else str(uuid),
    }


def node_id(folder: Path) -> str:
    """Return the random id of this machine's worker home; the first call creates and stores it."""
    return made_once(folder / "node-id", lambda: new_id("nod"))


@contextmanager
def held_devices(slot: Slot, *, exclusive_cpu: bool) -> Iterator[None]:
    """Hold the GPUs of a slot, or its share of the CPU, for this process and whatever its home.

    Raises:
        DeviceTaken: another slot of this machine has one of the GPUs, or excludes others from the
            CPU, or this one does.
        SlotsNotUnderstood: the machine has no GPU of this index.
    """
    with ExitStack() as stack:
        if not slot.gpus:
            stack.enter_context(held_cpu(exclusive=exclusive_cpu))
        devices = gpu_devices() if slot.gpus else []
        for gpu in slot.gpus:
            if gpu >= len(devices):
                count = len(devices)
                raise SlotsNotUnderstood(f"There is no GPU {gpu}: the driver reports {count} GPUs.")
            stack.enter_context(held_gpu(str(devices[gpu]["uuid"])))
        yield


@contextmanager
def slot_lock(folder: Path, slot: Slot) -> Iterator[None]:
    """Lock a slot for this process; the kernel releases the lock however the process ends.

    Raises:
        SlotTaken: another living process of this home holds it.
    """
    private_folder(folder)
    path = folder / f"slot-{slot.name}.lock"
    try:
        lock = locked(path)
    except BlockingIOError:
        raise SlotTaken(f"Another process serves the slot {slot.name} ({path}).") from None
    with lock:
        yield
