"""A slot forks its trainers where that changes nothing, and otherwise starts new processes."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Timer
from types import MappingProxyType
from typing import TypeAlias

import psutil
import pytest
from structlog.testing import capture_logs

from app.settings.worker import WarmTrainers
from tests.waiting import eventually
from tests.worlds.processes import is_alive
from worker.processes import parent, starter
from worker.processes.forked import ForkedProcess
from worker.processes.process import Command, NewProcess, RunningProcess, kill_processes
from worker.processes.starter import ProcessStarter
from worker.trainer.environment import trainer_environment

Make: TypeAlias = Callable[..., ProcessStarter]
Start: TypeAlias = Callable[..., RunningProcess]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Yield a function that makes starters whose parents import little, and so are soon ready."""
    made: list[ProcessStarter] = []

    def make_one(
        warm: WarmTrainers = "auto",
        *,
        idle_seconds: float = 600,
        modules: tuple[str, ...] = ("json",),
    ) -> ProcessStarter:
        folder = tmp_path / f"preloaded-{os.getpid()}-{len(made)}"
        made.append(ProcessStarter(warm, folder, idle_seconds=idle_seconds, modules=modules))
        return made[-1]

    yield make_one
    for each in made:
        each.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Yield a function that starts a program of Python."""
    name = f"job_{tmp_path.name}_{os.getpid()}-1"
    with (tmp_path / "log").open("ab") as output:

        def start_one(
            used: ProcessStarter,
            program: str = "",
            variables: Mapping[str, str] = MappingProxyType({}),
            *,
            heavy: bool = True,
            check: Callable[[], None] = lambda: None,
        ) -> RunningProcess:
            file = tmp_path / "program.py"
            file.write_text(program, encoding="utf-8")
            environment = trainer_environment(tmp_path, gpu=None, base=os.environ) | dict(variables)
            command = Command([sys.executable, "-I", str(file)], environment, tmp_path, name)
            return used.start(command, output, heavy=heavy, check=check)

        yield start_one
    kill_processes(name)


def started_pid(used: ProcessStarter) -> int:
    """Start the parent, and return its process id."""
    used.preload()
    pid = used.preloaded_pid
    assert pid is not None
    return pid


class TestForking:
    def test_two_processes_are_forked_by_one_parent(self, make: Make, start: Start) -> None:
        used = make()
        parents = []

        for _ in range(2):
            with start(used) as process:
                assert process.wait(10) == 0
                parents.append((type(process), used.preloaded_pid))

        assert parents[0] == parents[1]
        assert parents[0][0] is ForkedProcess

    def test_a_process_that_imports_little_is_new_and_starts_no_parent(
        self, make: Make, start: Start
    ) -> None:
        used = make()

        with start(used, heavy=False) as process:
            assert isinstance(process, NewProcess)

        assert used.preloaded_pid is None

    def test_never_starts_new_processes_only(self, make: Make, start: Start) -> None:
        used = make("never")
        used.preload()

        with start(used) as process:
            assert isinstance(process, NewProcess)

        assert used.preloaded_pid is None

    def test_no_module_of_trainyard_is_imported_by_the_parent(
        self, make: Make, start: Start, tmp_path: Path
    ) -> None:
        program = "import sys; print([m for m in sys.modules if m in ('app', 'worker')])"

        with start(make(), program) as process:
            process.wait(10)

        assert (tmp_path / "log").read_text() == "[]\n"

    def test_a_file_that_is_run_isolated_cannot_import_trainyard(
        self, make: Make, start: Start, tmp_path: Path
    ) -> None:
        with start(make(), "import worker") as process:
            code = process.wait(10)

        assert code == 1
        assert "worker must not be needed" in (tmp_path / "log").read_text()


class TestNotEqual:
    @pytest.mark.parametrize(
        ("variable", "value"), [("YOLO_OFFLINE", "false"), ("OMP_NUM_THREADS", "3"), ("TZ", "X")]
    )
    def test_a_process_with_another_environment_is_new(
        self, make: Make, start: Start, variable: str, value: str
    ) -> None:
        used = make()

        with start(used, variables={variable: value}) as other:
            assert isinstance(other, NewProcess)
        with start(used) as process:
            assert isinstance(process, ForkedProcess)

    @pytest.mark.parametrize("module", ["sitecustomize", "usercustomize", "json"])
    def test_a_process_whose_python_path_changes_what_the_parent_imported_is_new(
        self, make: Make, start: Start, module: str, tmp_path: Path
    ) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / f"{module}.py").touch()

        with start(make(), variables={"PYTHONPATH": str(tmp_path / "mine")}) as process:
            assert isinstance(process, NewProcess)

    def test_a_python_path_with_other_modules_is_no_reason_for_a_new_process(
        self, make: Make, start: Start, tmp_path: Path
    ) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "my_plugin.py").touch()

        with start(make(), variables={"PYTHONPATH": str(tmp_path / "mine")}) as process:
            assert isinstance(process, ForkedProcess)


class TestFailing:
    @pytest.mark.skipif(os.cpu_count() == 1, reason="numpy starts a thread per further core")
    def test_a_parent_whose_imports_started_threads_is_not_used(
        self, make: Make, start: Start
    ) -> None:
        used = make(modules=("numpy",))  # before Ultralytics, which sets the number of threads

        with capture_logs() as logs, start(used) as process:
            assert isinstance(process, NewProcess)

        assert "threads" in logs[-1]["reason"]

    def test_a_dead_parent_is_replaced_for_the_next_process(self, make: Make, start: Start) -> None:
        used = make()
        dead = started_pid(used)
        os.kill(dead, signal.SIGKILL)

        with start(used) as first:
            assert isinstance(first, NewProcess)
        with start(used) as second:
            assert isinstance(second, ForkedProcess)

        assert used.preloaded_pid != dead

    def test_a_silent_parent_is_ended_and_the_process_is_new(
        self, make: Make, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parent, "ANSWER_SECONDS", 0.3)
        used = make()
        with start(used) as process:
            process.wait(10)
        silent = started_pid(used)
        os.kill(silent, signal.SIGSTOP)

        with start(used) as process:
            assert isinstance(process, NewProcess)

        assert not psutil.pid_exists(silent)

    def test_the_output_of_a_parent_that_fails_is_logged(self, make: Make, start: Start) -> None:
        used = make(modules=("no_such_module",))

        with capture_logs() as logs, start(used) as process:
            process.wait(10)

        assert "No module named 'no_such_module'" in logs[-1]["output"]

    def test_an_exit_code_is_waited_for_while_the_parent_is_slow(
        self, make: Make, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parent, "ANSWER_SECONDS", 0.05)
        used = make()

        with start(used, "raise SystemExit(7)") as process:
            slow = started_pid(used)
            os.kill(slow, signal.SIGSTOP)
            Timer(0.3, os.kill, (slow, signal.SIGCONT)).start()
            code = process.wait(10)

        assert code == 7

    def test_a_slot_whose_parents_fail_twice_starts_no_more_of_them(
        self, make: Make, start: Start
    ) -> None:
        used = make(modules=("no_such_module",))

        for _ in range(2):
            with start(used) as process:
                assert isinstance(process, NewProcess)
        used.preload()

        assert used.preloaded_pid is None

    def test_a_process_dies_with_its_parent_and_reports_that_it_was_killed(
        self, make: Make, start: Start
    ) -> None:
        used = make()

        with start(used, "import time; time.sleep(600)") as process:
            os.kill(started_pid(used), signal.SIGKILL)
            code = process.wait(10)

        assert code == -signal.SIGKILL
        assert not is_alive(process.pid)


class TestEnding:
    def test_an_idle_parent_ends(self, make: Make, start: Start) -> None:
        used = make(idle_seconds=0.05)

        with start(used) as process:
            process.wait(10)

        eventually(lambda: used.preloaded_pid is None, within=10)

    def test_a_parent_that_was_never_used_ends(self, make: Make) -> None:
        used = make(idle_seconds=0.05)

        used.preload()

        eventually(lambda: used.preloaded_pid is None, within=10)

    def test_a_start_that_is_not_wanted_any_more_stops_waiting_for_the_imports(
        self, make: Make, start: Start
    ) -> None:
        used = make()
        os.kill(started_pid(used), signal.SIGSTOP)
        answers = iter([None])

        with pytest.raises(StopIteration):
            start(used, check=lambda: next(answers))

        assert used.preloaded_pid is not None

    def test_a_parent_does_not_end_while_a_child_lives(self, make: Make, start: Start) -> None:
        used = make(idle_seconds=0.05)
        with start(used) as process:
            process.wait(10)

        with start(used, "import time; time.sleep(600)") as process:
            assert process.wait(0.5) is None
            assert used.preloaded_pid is not None

    def test_a_parent_that_is_always_wanted_does_not_end(self, make: Make, start: Start) -> None:
        used = make("always", idle_seconds=0.05)

        with start(used) as process:
            process.wait(10)

        assert process.wait(0.3) == 0
        assert used.preloaded_pid is not None

    def test_a_changed_package_retires_the_parent(
        self, make: Make, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        record = tmp_path / "site" / "torch-9.dist-info" / "RECORD"
        record.parent.mkdir(parents=True)
        record.touch()
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
        used = make()
        before = started_pid(used)

        record.unlink()
        record.write_text("torch/__init__.py,,\n")

        with start(used) as process:
            assert isinstance(process, ForkedProcess)
        assert used.preloaded_pid != before

    def test_a_changed_package_does_not_retire_a_parent_whose_child_lives(
        self, make: Make, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        used = make()

        with start(used, "import time; time.sleep(600)") as process:
            before = used.preloaded_pid
            monkeypatch.setattr(starter, "installed_packages", frozenset)
            used.preload()
            assert used.preloaded_pid == before
            assert process.wait(0.1) is None

    def test_a_closed_starter_leaves_no_process_and_no_folder(
        self, make: Make, tmp_path: Path
    ) -> None:
        used = make()
        pid = started_pid(used)

        used.close()

        assert not psutil.pid_exists(pid)
        assert list(tmp_path.glob("preloaded-*")) == []
