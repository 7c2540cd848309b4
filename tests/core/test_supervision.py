"""Children that die are restarted after growing pauses; after a stop no child runs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from app.core.supervision import LONGEST_PAUSE_SECONDS, STEADY_SECONDS, next_pause
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SUPERVISED = """
import os, sys
from pathlib import Path
from app.core import supervision
from app.core.supervision import ProcessChild, StopSignals, Supervisor

supervision.STOP_SECONDS = 15
supervision.DRAIN_SECONDS = float(sys.argv[3])
folder, stop = Path(sys.argv[1]), getattr(supervision, sys.argv[2])
program = [sys.executable, "-c", (folder / "child.py").read_text()]
children = [ProcessChild(name, [*program, str(folder), name], os.environ) for name in sys.argv[4:]]
signals = StopSignals()
with signals.installed():
    sys.exit(Supervisor(children, signals, stop=stop).run(lambda: None))
"""

STEADY_CHILD = """
import os, signal, sys
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
def leave(*_):
    with open(folder / "stopped", "a") as file:
        file.write(name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
with open(folder / f"{name}.starts", "a") as file:
    file.write(f"{os.getpid()}\\n")
while True:
    signal.pause()
"""

DEAF_CHILD = STEADY_CHILD.replace("leave)", "signal.SIG_IGN)")

WAITING_CHILD = STEADY_CHILD.replace(
    "    sys.exit(0)",
    """
    while len(open(folder / "stopped").read().split()) < 2: pass
    sys.exit(0)""",
)
"""Stops once both children have received the signal."""

HURRYING_CHILD = STEADY_CHILD.replace(
    "    sys.exit(0)",
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))""",
)
"""Stops at the second signal."""

MISCONFIGURED_CHILD = "import sys; sys.exit(78)"

FORKING_CHILD = STEADY_CHILD.replace(
    "while True:",
    dedent(
        """
        if os.fork() == 0:
            os.setsid()
            (folder / "grandchild").write_text(str(os.getpid()))
            while True: signal.pause()
        while True:"""
    ),
)


class Run:
    """A supervisor in its own process, and the files that its children wrote."""

    def __init__(
        self,
        folder: Path,
        child: str,
        names: list[str],
        *,
        stop: str,
        drain_seconds: float,
    ) -> None:
        (folder / "child.py").write_text(child)
        self.folder = folder
        command = [sys.executable, "-c", SUPERVISED, str(folder), stop, str(drain_seconds), *names]
        self.process = subprocess.Popen(command)

    def starts(self, name: str) -> list[int]:
        path = self.folder / f"{name}.starts"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def started(self, name: str, times: int = 1) -> int:
        """Wait until the child has been started `times` times; return its last process id."""
        eventually(lambda: len(self.starts(name)) >= times, within=20)
        return self.starts(name)[-1]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs = []

    def start(
        child: str, *names: str, stop: str = "stop_in_reverse", drain_seconds: float = 15
    ) -> Run:
        runs.append(Run(tmp_path, child, list(names), stop=stop, drain_seconds=drain_seconds))
        return runs[-1]

    yield start
    for each in runs:
        each.process.kill()
        each.process.wait()


@pytest.mark.unit
class TestNextPause:
    def test_the_next_pause_doubles_up_to_half_a_minute(self) -> None:
        pauses = [next_pause(None, lived_seconds=0)]

        while pauses[-1] < LONGEST_PAUSE_SECONDS:
            pauses.append(next_pause(pauses[-1], lived_seconds=1))

        assert pauses == [0.5, 1, 2, 4, 8, 16, 30]

    def test_the_next_pause_starts_over_after_a_minute_of_life(self) -> None:
        assert next_pause(16, lived_seconds=STEADY_SECONDS) == 0.5


@pytest.mark.integration
class TestSupervisor:
    def test_a_supervisor_starts_a_dead_child_again_and_leaves_the_others_alone(
        self, run: Callable[..., Run]
    ) -> None:
        supervisor = run(STEADY_CHILD, "first", "second")
        supervisor.started("second")
        first = supervisor.started("first")

        os.kill(first, signal.SIGKILL)

        assert supervisor.started("first", times=2) != first
        assert len(supervisor.starts("second")) == 1

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_supervisor_stops_the_last_started_child_first_and_ends_with_0(
        self, run: Callable[..., Run], signum: signal.Signals
    ) -> None:
        supervisor = run(STEADY_CHILD, "first", "second", "third")
        pids = [supervisor.started(name) for name in ("first", "second", "third")]

        supervisor.process.send_signal(signum)

        assert supervisor.process.wait(10) == 0
        assert (supervisor.folder / "stopped").read_text() == "third second first "
        assert not any(map(is_running, pids))

    def test_a_second_signal_kills_what_does_not_stop(self, run: Callable[..., Run]) -> None:
        supervisor = run(DEAF_CHILD, "deaf")
        pid = supervisor.started("deaf")
        supervisor.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            supervisor.process.wait(0.5)

        supervisor.process.send_signal(signal.SIGINT)

        assert supervisor.process.wait(5) == 0
        assert not is_running(pid)

    def test_processes_that_a_dead_child_left_behind_are_gone_after_the_stop(
        self, run: Callable[..., Run]
    ) -> None:
        supervisor = run(FORKING_CHILD, "parent")
        parent = supervisor.started("parent")
        note = supervisor.folder / "grandchild"
        grandchild = int(eventually(lambda: note.exists() and note.read_text(), within=5))
        os.kill(parent, signal.SIGKILL)
        supervisor.started("parent", times=2)

        supervisor.process.terminate()

        assert supervisor.process.wait(10) == 0
        assert not is_running(grandchild)

    def test_children_die_with_a_supervisor_that_is_killed(self, run: Callable[..., Run]) -> None:
        supervisor = run(DEAF_CHILD, "deaf")
        pid = supervisor.started("deaf")

        supervisor.process.kill()

        eventually(lambda: not is_running(pid), within=5)

    def test_a_child_with_a_bad_configuration_ends_the_run(self, run: Callable[..., Run]) -> None:
        supervisor = run(MISCONFIGURED_CHILD, "misconfigured")

        assert supervisor.process.wait(10) == 78


@pytest.mark.integration
class TestStopTogether:
    def test_asks_all_children_before_it_waits_for_one(self, run: Callable[..., Run]) -> None:
        supervisor = run(WAITING_CHILD, "first", "second", stop="stop_together")
        pids = [supervisor.started(name) for name in ("first", "second")]

        supervisor.process.terminate()

        assert supervisor.process.wait(10) == 0
        assert not any(map(is_running, pids))

    def test_passes_a_second_signal_on_to_the_children(self, run: Callable[..., Run]) -> None:
        supervisor = run(HURRYING_CHILD, "first", "second", stop="stop_together")
        pids = [supervisor.started(name) for name in ("first", "second")]
        supervisor.process.terminate()
        stopped = supervisor.folder / "stopped"
        eventually(lambda: stopped.exists() and len(stopped.read_text().split()) == 2, within=5)

        supervisor.process.terminate()

        assert supervisor.process.wait(10) == 0
        assert not any(map(is_running, pids))

    def test_kills_what_has_not_stopped_in_time(self, run: Callable[..., Run]) -> None:
        supervisor = run(DEAF_CHILD, "deaf", stop="stop_together", drain_seconds=0.5)
        pid = supervisor.started("deaf")

        supervisor.process.terminate()

        assert supervisor.process.wait(5) == 0
        assert not is_running(pid)
