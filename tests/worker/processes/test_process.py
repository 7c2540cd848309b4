"""No process of an attempt outlives its `with` block, its supervisor, or a kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from uuid import uuid4

import pytest

from tests.waiting import eventually
from worker.processes.process import AttemptProcess, Command, kill_processes, living_processes

STUBBORN_FAMILY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
if os.fork() == 0:
    time.sleep(600)
open("ready", "w").close()
time.sleep(600)
"""

SUPERVISOR = """
import sys, threading
from pathlib import Path
from worker.processes.process import AttemptProcess, Command
folder = Path(sys.argv[1])
program = "import time; open('ready', 'w').close(); time.sleep(600)"
command = Command([sys.executable, "-c", program], {}, folder, sys.argv[2])
with (folder / "log").open("wb") as output, AttemptProcess(command, output):
    threading.Event().wait()
"""


@pytest.fixture
def attempt() -> Iterator[str]:
    name = f"job_{uuid4().hex}-1"
    yield name
    kill_processes(name)


@pytest.fixture
def output(tmp_path: Path) -> Iterator[IO[bytes]]:
    with (tmp_path / "log").open("ab") as file:
        yield file


def command(program: str, folder: Path, attempt: str) -> Command:
    return Command([sys.executable, "-c", program], {}, folder, attempt)


class TestAttemptProcess:
    def test_an_attempt_process_reports_its_exit_code(
        self, tmp_path: Path, attempt: str, output: IO[bytes]
    ) -> None:
        with AttemptProcess(command("raise SystemExit(12)", tmp_path, attempt), output) as process:
            code = process.wait(10)

        assert code == 12

    def test_an_attempt_process_reports_the_signal_that_killed_it(
        self, tmp_path: Path, attempt: str, output: IO[bytes]
    ) -> None:
        program = "import os; os.kill(os.getpid(), 11)"

        with AttemptProcess(command(program, tmp_path, attempt), output) as process:
            code = process.wait(10)

        assert code == -signal.SIGSEGV

    def test_an_attempt_process_has_no_exit_code_while_it_runs(
        self, tmp_path: Path, attempt: str, output: IO[bytes]
    ) -> None:
        program = "import time; time.sleep(600)"

        with AttemptProcess(command(program, tmp_path, attempt), output) as process:
            assert process.wait(0.05) is None

    def test_leaving_an_attempt_process_kills_stubborn_children_and_those_in_other_sessions(
        self, tmp_path: Path, attempt: str, output: IO[bytes]
    ) -> None:
        with AttemptProcess(command(STUBBORN_FAMILY, tmp_path, attempt), output) as process:
            eventually((tmp_path / "ready").exists, within=10)
            process.request_leave()
            eventually(lambda: len(list(living_processes(attempt))) >= 3, within=10)

        assert list(living_processes(attempt, session=process.pid)) == []

    def test_an_attempt_process_gets_its_environment_and_nothing_else(
        self, tmp_path: Path, attempt: str, output: IO[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRAINYARD_BROKER_URL", "redis://:secret@host")
        program = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))"

        with AttemptProcess(command(program, tmp_path, attempt), output) as process:
            process.wait(10)

        assert (tmp_path / "log").read_text() == "['TRAINYARD_ATTEMPT']\n"

    def test_an_attempt_process_dies_when_its_supervisor_is_killed(
        self, tmp_path: Path, attempt: str
    ) -> None:
        argv = [sys.executable, "-c", SUPERVISOR, str(tmp_path), attempt]
        supervisor = subprocess.Popen(argv, cwd=Path(__file__).parents[3])
        eventually((tmp_path / "ready").exists, within=20)

        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()

        eventually(lambda: list(living_processes(attempt)) == [], within=2)
