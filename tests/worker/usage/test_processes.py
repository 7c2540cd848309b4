"""What the processes of a training use, measured at real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from worker.usage.processes import ProcessGroupUse, ProcessTotals

BURN = """
import os, sys, time

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def tell(word):
    print(word, flush=True)
    sys.stdin.readline()
"""
LEADER = """
tell("ready")
burn(0.2)
tell("done")
"""
CHILD_THAT_ENDS = """
tell("ready")
if os.fork() == 0:
    burn(0.2)
    os._exit(0)
os.wait()
tell("done")
"""
CHILD_THAT_LIVES_ON = """
tell("ready")
burnt, has_burnt = os.pipe()
waits, end = os.pipe()
if os.fork() == 0:
    os.close(end)
    if {own_session}:
        os.setsid()
    burn(0.2)
    os.write(has_burnt, b".")
    os.read(waits, 1)
    os._exit(0)
os.read(burnt, 1)
tell("burnt")
os.close(end)
os.wait()
tell("done")
"""
SHARED_PAGES = """
pages = bytearray(os.urandom(1)) * 40_000_000
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    children.append(child)
tell("ready")
"""


class Program:
    """A program in a session of its own that says a word, and goes on when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self._input: IO[str] = process.stdin or sys.stdin
        self._output: IO[str] = process.stdout or sys.stdout
        self.wait_for("ready")

    def wait_for(self, word: str) -> None:
        assert self._output.readline().strip() == word

    def go_on(self) -> None:
        self._input.write("\n")
        self._input.flush()

    def go_on_until(self, word: str) -> None:
        self.go_on()
        self.wait_for(word)


@contextmanager
def running(code: str) -> Iterator[Program]:
    process = subprocess.Popen(
        [sys.executable, "-c", BURN + code],
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Program(process)
        finally:
            os.killpg(process.pid, 9)


class TestCpuTime:
    def test_what_was_used_before_the_first_look_does_not_count(self) -> None:
        with running(LEADER) as program:
            assert ProcessGroupUse(program.pid).totals().cpu_seconds == 0

    def test_the_cpu_time_of_the_process_counts(self) -> None:
        with running(LEADER) as program:
            use = ProcessGroupUse(program.pid)
            use.totals()

            program.go_on_until("done")

            assert use.totals().cpu_seconds == pytest.approx(0.2, abs=0.1)

    def test_a_child_that_lives_between_two_looks_counts(self) -> None:
        with running(CHILD_THAT_ENDS) as program:
            use = ProcessGroupUse(program.pid)
            use.totals()

            program.go_on_until("done")

            assert use.totals().cpu_seconds == pytest.approx(0.2, abs=0.1)

    @pytest.mark.parametrize("own_session", ["False", "True"])
    def test_a_living_child_counts_also_in_a_session_of_its_own(self, own_session: str) -> None:
        with running(CHILD_THAT_LIVES_ON.format(own_session=own_session)) as program:
            use = ProcessGroupUse(program.pid)
            use.totals()

            program.go_on_until("burnt")

            assert use.totals().cpu_seconds == pytest.approx(0.2, abs=0.1)

    def test_a_child_that_was_seen_counts_once_when_it_ends(self) -> None:
        with running(CHILD_THAT_LIVES_ON.format(own_session="False")) as program:
            use = ProcessGroupUse(program.pid)
            use.totals()
            program.go_on_until("burnt")
            use.totals()

            program.go_on_until("done")

            assert use.totals().cpu_seconds == pytest.approx(0.2, abs=0.1)

    def test_a_total_never_falls_when_the_processes_end(self) -> None:
        with running(LEADER) as program:
            use = ProcessGroupUse(program.pid)
            use.totals()
            program.go_on_until("done")
            before = use.totals().cpu_seconds

        assert use.totals().cpu_seconds >= before


class TestMemory:
    def test_pages_that_processes_share_count_once(self) -> None:
        with running(SHARED_PAGES) as program:
            memory = ProcessGroupUse(program.pid).totals().memory_bytes

        assert memory is not None
        assert 40_000_000 < memory < 100_000_000

    def test_a_process_that_has_ended_has_no_memory(self) -> None:
        with running(LEADER) as program:
            pid = program.pid

        assert ProcessGroupUse(pid).totals() == ProcessTotals(0.0, None, None)


class TestStorage:
    def test_bytes_read_from_storage_are_counted_from_the_first_look(self) -> None:
        with running(LEADER) as program:
            assert ProcessGroupUse(program.pid).totals().read_bytes in {0, None}
