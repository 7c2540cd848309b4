"""A device of a machine is in one slot, whatever the homes of the workers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from app.core import devices
from app.core.devices import DeviceTaken, cpu_slots_of_this_machine, held_cpu, held_gpu

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")

HOLDS = """
import sys, time
from app.core import devices
from app.core.devices import held_cpu, held_gpu
devices.prefix = sys.argv[2]
with eval(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(holding: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that holds a device until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, holding, devices.prefix],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def machine_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the slots of other tests that run at the same time."""
    monkeypatch.setattr(devices, "prefix", f"trainyard-test-{uuid4()}/")


@pytest.fixture
def gpu() -> str:
    return f"GPU-{uuid4()}"


class TestGpu:
    def test_k9_a_gpu_in_another_process_is_refused_until_that_process_is_killed(
        self, gpu: str
    ) -> None:
        with another_process(f"held_gpu({gpu!r})") as other:
            with pytest.raises(DeviceTaken, match=gpu), held_gpu(gpu):
                pytest.fail("two slots have the GPU")
            other.kill()
            other.wait()

            with held_gpu(gpu):
                pass

    def test_another_gpu_is_free(self, gpu: str) -> None:
        with held_gpu(gpu), held_gpu(f"GPU-{uuid4()}"):
            pass


class TestCpu:
    def test_k9_a_second_slot_on_the_cpu_is_allowed_and_counted(self) -> None:
        before = cpu_slots_of_this_machine()

        with another_process("held_cpu(exclusive=False)") as other, held_cpu(exclusive=False):
            during = cpu_slots_of_this_machine()

        assert during - before == {other.pid, os.getpid()}
        assert cpu_slots_of_this_machine() == before

    @pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
    def test_k9_an_exclusive_cpu_is_in_one_slot(self, first: bool, second: bool) -> None:  # noqa: FBT001
        with (
            another_process(f"held_cpu(exclusive={first})"),
            pytest.raises(DeviceTaken, match="TRAINYARD_EXCLUSIVE_CPU"),
            held_cpu(exclusive=second),
        ):
            pytest.fail("two slots have the CPU")
