"""No process of an attempt outlives its `with` block, its supervisor, or a kill.

A process that a preloaded parent forked and a new one behave in the same way, in a cage or not.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias
from uuid import uuid4

import pytest

from tests.waiting import eventually
from tests.worlds.processes import STARTERS, a_cage, is_alive
from worker.processes.process import Command, RunningProcess, kill_processes, living_processes
from worker.trainer.environment import trainer_environment

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

FINISHING = """
import os, signal, time
received = []
signal.signal(signal.SIGUSR1, lambda *_: received.append(1))
child = os.fork()
if child == 0:
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(9))
    time.sleep(600)
open("ready", "w").close()
while not received:
    time.sleep(0.01)
os._exit(3 if os.waitpid(child, os.WNOHANG) == (0, 0) else 4)
"""

SLEEPING = "import time; open('ready', 'w').close(); time.sleep(600)"

SUPERVISOR = """
import os, sys, threading
from pathlib import Path
from tests.worlds.processes import STARTERS, a_cage, is_alive
from worker.processes.process import Command
from worker.trainer.environment import trainer_environment
way, is_caged, folder, attempt, program = sys.argv[1:]
cage = a_cage(Path(folder)) if is_caged else None
environment = trainer_environment(Path(folder), gpu=None, base=os.environ)
command = Command([sys.executable, "-I", program], environment, Path(folder), attempt, cage=cage)
starter = STARTERS[way]()
with open(folder + "/log", "wb") as output, starter.start(command, output, heavy=True):
    Path(folder, "parent").write_text(str(starter.preloaded_pid or 0))
    Path(folder, "parent").rename(Path(folder, "parent.pid"))
    threading.Event().wait()
"""

Start: TypeAlias = Callable[..., RunningProcess]


def open_files() -> list[str]:
    """Return the descriptors of this process; the last one is that of the folder itself."""
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


@pytest.fixture
def attempt() -> Iterator[str]:
    name = f"job_{uuid4().hex}-1"
    yield name
    kill_processes(name)


@pytest.fixture(params=sorted(STARTERS))
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["", "caged"], ids=["free", "caged"])
def is_caged(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


@pytest.fixture
def start(way: str, is_caged: str, tmp_path: Path, attempt: str) -> Iterator[Start]:
    """Yield a function that starts a program, cold or warm."""
    with (tmp_path / "log").open("ab") as output:

        def started(
            program: str,
            variables: Mapping[str, str] = MappingProxyType({}),
            pass_fds: tuple[int, ...] = (),
        ) -> RunningProcess:
            file = tmp_path / "program.py"
            file.write_text(program, encoding="utf-8")
            environment = trainer_environment(tmp_path, gpu=None, base=os.environ) | dict(variables)
            argv = [sys.executable, "-I", str(file)]
            cage = a_cage(tmp_path) if is_caged else None
            command = Command(argv, environment, tmp_path, attempt, pass_fds, cage)
            return STARTERS[way]().start(command, output, heavy=True)

        yield started


class TestRunningProcess:
    def test_a_process_reports_its_exit_code(self, start: Start) -> None:
        with start("raise SystemExit(12)") as process:
            code = process.wait(10)

        assert code == 12

    def test_a_process_that_raises_ends_with_1_and_its_traceback(
        self, start: Start, tmp_path: Path
    ) -> None:
        with start("raise ValueError('of this kind')") as process:
            code = process.wait(10)

        assert code == 1
        assert "ValueError: of this kind" in (tmp_path / "log").read_text()

    def test_a_process_reports_the_signal_that_killed_it(self, start: Start) -> None:
        with start("import os; os.kill(os.getpid(), 11)") as process:
            code = process.wait(10)

        assert code == -signal.SIGSEGV

    def test_a_process_has_no_exit_code_while_it_runs(self, start: Start) -> None:
        with start(SLEEPING) as process:
            assert process.wait(0.05) is None

    def test_a_process_leaves_no_open_file_behind(self, start: Start) -> None:
        with start(""):
            pass  # a preloaded parent is running from here on
        before = open_files()

        with start("") as process:
            process.wait(10)

        assert open_files() == before

    @pytest.mark.slow
    def test_the_id_of_an_ended_process_names_no_other_until_its_block_ends(
        self, start: Start
    ) -> None:
        with start("") as process:
            process.wait(10)
            process.request_finish()
            state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]

        assert state == "Z"
        assert not Path(f"/proc/{process.pid}").exists()

    def test_leaving_the_block_kills_stubborn_children_and_those_in_other_sessions(
        self, start: Start, tmp_path: Path, attempt: str
    ) -> None:
        with start(STUBBORN_FAMILY) as process:
            eventually((tmp_path / "ready").exists, within=10)
            process.request_leave()
            eventually(lambda: len(list(living_processes(attempt))) >= 3, within=10)

        assert list(living_processes(attempt, session=process.pid)) == []

    def test_a_request_to_finish_reaches_the_process_and_not_its_children(
        self, start: Start, tmp_path: Path
    ) -> None:
        with start(FINISHING) as process:
            eventually((tmp_path / "ready").exists, within=10)
            process.request_finish()
            code = process.wait(10)

        assert code == 3

    def test_a_process_inherits_the_named_files_and_no_others(
        self, start: Start, tmp_path: Path
    ) -> None:
        reading, writing = os.pipe()
        program = f"import os; os.write({writing}, b'hello'); print(os.listdir('/proc/self/fd'))"

        with start(program, pass_fds=(writing,)) as process:
            os.close(writing)
            process.wait(10)

        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b"hello"
        numbers = {int(each) for each in eval((tmp_path / "log").read_text())}  # noqa: S307
        assert len(numbers - {0, 1, 2, writing}) == 1  # the folder that was listed

    def test_a_process_has_its_environment_and_nothing_of_its_starters(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRAINYARD_BROKER_URL", "redis://:secret@host")
        reading = "import os, pathlib; print(dict(os.environ), pathlib.Path('/proc/self/environ')"

        with start(f"{reading}.read_bytes())") as process:
            process.wait(10)

        assert "HOME" in (tmp_path / "log").read_text()
        assert "secret" not in (tmp_path / "log").read_text()


class TestSupervisorKilled:
    def test_a_process_and_its_parent_die_when_their_supervisor_is_killed(
        self, way: str, is_caged: str, tmp_path: Path, attempt: str
    ) -> None:
        (tmp_path / "program.py").write_text(SLEEPING, encoding="utf-8")
        arguments = [way, is_caged, str(tmp_path), attempt, str(tmp_path / "program.py")]
        supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, *arguments],
            cwd=Path(__file__).parents[3],
        )
        eventually((tmp_path / "ready").exists, within=60)
        eventually((tmp_path / "parent.pid").exists, within=10)

        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()

        eventually(lambda: list(living_processes(attempt)) == [], within=5)
        parent = int((tmp_path / "parent.pid").read_text())
        eventually(lambda: not parent or not is_alive(parent), within=5)
