"""A cage shuts every door, in a new process and in a forked one, and each layer shuts its own."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.core.cage.definition import FAILED, Cage, Layer, Network
from app.core.cage.launch import launched
from app.core.cage.plan import CageIncomplete, CagePlan
from app.core.cage.probe import Door, Order, ProbeFailed, probe, probe_plan, run_cold
from app.core.cage.trial import Found
from app.settings import Settings
from tests.worlds.processes import cage_plan, warm_starter
from worker.processes.forked import ForkedProcess
from worker.processes.process import Command
from worker.trainer.environment import trainer_environment

HAS_ALL_LAYERS = sys.platform == "linux" and not any(cage_plan().layers().values())
needs_all_layers = pytest.mark.skipif(not HAS_ALL_LAYERS, reason="this machine lacks a layer")

ALONE = (Layer.NO_NEW_PRIVILEGES, Layer.CAPABILITIES, Layer.LANDLOCK, Layer.SYSTEM_CALLS)


@dataclass(frozen=True)
class PlanWith(CagePlan):
    """A plan for a machine that has these layers only."""

    present: tuple[Layer, ...] = ()

    def layers(self) -> Found:
        return {layer: None if layer in self.present else "absent" for layer in Layer}


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a home with a key; outside of /tmp, of which each cage has its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        (Path(folder) / "api-key").write_text("secret")
        yield Path(folder)


def run_warm(order: Order) -> None:
    """Run the program in a fork of the preloaded parent."""
    environment = trainer_environment(order.folder, gpu=None, base=os.environ)
    name = f"probe-{os.getpid()}"
    command = Command(order.argv, environment, order.folder, name, cage=order.cage)
    with (
        (order.folder / "log").open("wb") as output,
        warm_starter().start(command, output, heavy=True) as process,
    ):
        assert isinstance(process, ForkedProcess)
        process.wait(60)


RUNS: dict[str, Callable[[Order], None]] = {"cold": run_cold, "warm": run_warm}

KERNEL_FACTS = """
import os, resource
lines = open("/proc/self/status").read().splitlines()
names = ("SigBlk", "SigIgn", "Cap", "Seccomp", "NoNewPrivs", "Umask", "Uid", "Gid", "Groups")
kinds = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
facts = [line for line in lines if line.startswith(names)]
facts += [f"{kind} {resource.getrlimit(getattr(resource, kind))}" for kind in kinds]
facts.append(str([os.getsid(0), os.getpgid(0), os.getpid(), os.getppid()]))
facts += os.listdir("/proc/self/fd")
open("facts", "w").write(chr(10).join(facts))
"""


def facts_of_a_process(run: Callable[[Order], None], folder: Path) -> str:
    """Return what the kernel keeps of a process in a cage."""
    folder.mkdir()
    (folder / "program.py").write_text(KERNEL_FACTS)
    environment = {"PATH": os.defpath, "HOME": str(folder)}
    cage = CagePlan(folder.parent).cage(environment, write=[folder])
    run(Order([sys.executable, "-I", str(folder / "program.py")], environment, folder, cage))
    return (folder / "facts").read_text()


def open_doors(doors: list[Door]) -> dict[str, str | None]:
    return {door.name: door.reached for door in doors if not door.is_shut}


def kinds_open(plan: CagePlan) -> set[str]:
    """Return the kinds of the doors that a plan leaves open."""
    return {name.partition(":")[0] for name in open_doors(probe_plan(plan, run_cold))}


@needs_all_layers
class TestTheWholeCage:
    @pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
    def test_every_door_is_shut(self, run: Callable[[Order], None], home: Path) -> None:
        doors = probe_plan(CagePlan(home), run)

        assert open_doors(doors) == {}
        assert len(doors) > 60

    def test_a_forked_process_has_the_limits_and_signals_of_a_new_one(self, home: Path) -> None:
        kept = [facts_of_a_process(run, home / name) for name, run in RUNS.items()]

        assert kept[0] == kept[1]
        assert "NoNewPrivs:\t1" in kept[0]

    def test_a_probe_by_settings_tries_the_cage_of_a_trainer(self, home: Path) -> None:
        doors = probe(Settings(home=home))

        assert {door.name for door in doors} >= {"read:api-key", "network", "daemon", "call:mount"}
        assert open_doors(doors) == {}

    def test_a_probe_without_a_cage_finds_the_doors_open(self, home: Path) -> None:
        kinds = kinds_open(CagePlan(home, "off"))

        assert kinds >= {"read", "list", "write", "data", "code", "program", "network", "socket"}
        assert kinds >= {"abstract_socket", "call", "size", "daemon", "signal", "forks"}


@needs_all_layers
class TestOneLayer:
    """What is shut by a layer although the others are missing."""

    @pytest.mark.parametrize(
        ("present", "shut"),
        [
            ((Layer.MOUNT_NAMESPACE,), {"read", "write", "data:open", "code:open", "socket"}),
            ((Layer.NETWORK_NAMESPACE,), {"network", "abstract_socket"}),
            ((Layer.MOUNT_NAMESPACE, Layer.PROCESS_NAMESPACE), {"daemon", "signal", "memory"}),
            ((Layer.MOUNT_NAMESPACE, Layer.OWN_USER), {"memory", "signal", "data:chmod"}),
            ((Layer.NO_NEW_PRIVILEGES, Layer.CAPABILITIES), {"privileges", "user"}),
            (
                (Layer.NO_NEW_PRIVILEGES, Layer.LANDLOCK),
                {"read", "list", "write", "data:open", "code:replace", "memory"},
            ),
            (
                (Layer.NO_NEW_PRIVILEGES, Layer.SYSTEM_CALLS),
                {"network", "call", "family"},
            ),
            ((Layer.LIMITS,), {"size"}),
        ],
        ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
    )
    def test_a_layer_shuts_its_doors_alone(
        self, present: tuple[Layer, ...], shut: set[str], home: Path
    ) -> None:
        found = open_doors(probe_plan(PlanWith(home, present=present), run_cold))

        assert {name for name in found if name in shut or name.partition(":")[0] in shut} == set()

    def test_without_namespaces_files_and_network_stay_shut(self, home: Path) -> None:
        present = (*ALONE, Layer.LIMITS)

        kinds = kinds_open(PlanWith(home, present=present))

        assert kinds <= {"data", "code", "socket", "forks", "daemon"}  # see docs/cage.md
        found = open_doors(probe_plan(PlanWith(home, present=present), run_cold))
        changed = {name for name in found if name.startswith(("data:", "code:"))}
        assert changed <= {"data:chmod", "data:touch", "code:chmod", "code:touch"}

    def test_a_limit_of_processes_holds_for_the_user_of_the_cage(self, home: Path) -> None:
        present = (Layer.MOUNT_NAMESPACE, Layer.OWN_USER, Layer.CAPABILITIES, Layer.LIMITS)

        found = open_doors(probe_plan(PlanWith(home, present=present), run_cold))

        assert "forks" not in found


@needs_all_layers
class TestWhatStaysPossible:
    def run(self, folder: Path, program: str, network: Network = "none") -> str:
        """Return what a program in a cage prints."""
        cage = CagePlan(folder.parent, network=network).cage(os.environ, write=[folder])
        argv = launched([sys.executable, "-I", "-c", program], cage)
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout

    def test_a_process_writes_to_its_folder_and_to_private_temporary_ones(
        self, tmp_path: Path
    ) -> None:
        program = "open('mine', 'w'); open('/tmp/x', 'w'); open('/dev/shm/x', 'w'); print('done')"

        assert self.run(tmp_path, program) == "done\n"
        assert (tmp_path / "mine").stat().st_uid == os.getuid()
        assert not Path("/dev/shm/x").exists()  # noqa: S108 -- looked for, not made

    def test_a_process_talks_to_itself_by_loopback(self, tmp_path: Path) -> None:
        program = (
            "import socket; s = socket.create_server(('127.0.0.1', 0)); "
            "socket.create_connection(s.getsockname()); print('connected')"
        )

        assert self.run(tmp_path, program) == "connected\n"

    def test_a_slot_with_the_network_of_the_machine_reaches_it(self, tmp_path: Path) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            program = f"import socket; socket.create_connection({server.getsockname()}); print(1)"

            assert self.run(tmp_path, program, network="host") == "1\n"

    def test_a_process_leads_its_session_and_is_the_only_one_that_it_sees(
        self, tmp_path: Path
    ) -> None:
        program = (
            "import os; print(os.getsid(0) == os.getpgid(0) == os.getpid(), "
            "sorted(int(e) for e in os.listdir('/proc') if e.isdigit()))"
        )

        assert self.run(tmp_path, program) == "True [1, 2]\n"


OUTER = """
import os, sys
from pathlib import Path
from app.core.cage import enter, mounts
from app.core.cage.definition import Cage

def writable_proc(_old):  # as outside of a cage
    Path(mounts.NEW_ROOT, "proc").mkdir()
    mounts.mount("proc", mounts.NEW_ROOT + "/proc", "proc", 0)

mounts._place_proc = writable_proc
enter.enter(Cage.from_json(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""

UNPRIVILEGED = """
import json, sys
from pathlib import Path
from app.core.cage.plan import CagePlan
from app.core.cage.probe import probe_plan, run_cold
plan = CagePlan(Path(sys.argv[1]))
doors = {door.name: door.reached for door in probe_plan(plan, run_cold) if not door.is_shut}
print(json.dumps({"layers": plan.layers(), "open": doors}))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="all tests run as such a user already")
@needs_all_layers
class TestWithoutPrivileges:
    """A worker that is not root: an outer cage makes this process one."""

    def probed(self, home: Path, *more: Layer) -> tuple[dict[str, str | None], set[str]]:
        """Return the layers that such a worker finds, and the doors that its cages leave open."""
        outer = CagePlan(home.parent, network="host").cage(os.environ, write=[home])
        assert outer is not None
        present = (Layer.MOUNT_NAMESPACE, Layer.OWN_USER, Layer.CAPABILITIES, *more)
        inner = [sys.executable, "-c", UNPRIVILEGED, str(home)]
        argv = [sys.executable, "-c", OUTER, outer.with_layers(present).to_json(), *inner]
        done = subprocess.run(
            argv, cwd=home, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return found["layers"], set(found["open"])

    def test_every_door_is_shut_with_a_namespace_of_users(self, home: Path) -> None:
        layers, found = self.probed(home)

        assert set(layers) == set(Layer) - {Layer.OWN_USER}
        assert (set(layers.values()), found) == ({None}, set())

    def test_landlock_and_the_filter_remain_where_namespaces_are_refused(self, home: Path) -> None:
        """As in a container of Docker, whose own filter refuses them."""
        layers, found = self.probed(home, Layer.NO_NEW_PRIVILEGES, Layer.SYSTEM_CALLS)

        present = {layer for layer, reason in layers.items() if reason is None}
        assert present == {*ALONE, Layer.LIMITS}
        changes = {f"{place}:{how}" for place in ("data", "code") for how in ("chmod", "touch")}
        assert found <= {*changes, "socket", "daemon"}


class TestFailing:
    def test_a_program_does_not_start_without_a_layer_that_its_cage_has(
        self, tmp_path: Path
    ) -> None:
        cage = Cage(write=(str(tmp_path),), user=2**32 - 2, layers=(Layer.OWN_USER,))
        argv = launched([sys.executable, "-c", "open('ran', 'w')"], replace(cage, user=-5))

        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

        assert (done.returncode, (tmp_path / "ran").exists()) == (FAILED, False)
        assert "could not enter its cage: own_user" in done.stderr

    def test_a_probe_whose_program_could_not_run_fails(self, home: Path) -> None:
        with pytest.raises(ProbeFailed):
            probe_plan(CagePlan(home, "off"), lambda _order: None)


class TestPlan:
    def test_a_missing_layer_is_logged_at_the_start(self, home: Path) -> None:
        with capture_logs() as logs:
            PlanWith(home, present=ALONE).check()

        missing = {line["layer"] for line in logs if line["event"] == "cage.layer_missing"}
        assert missing == set(Layer) - set(ALONE)

    def test_a_missing_layer_that_is_required_is_named_and_refused(self, home: Path) -> None:
        plan = PlanWith(home, "require", present=tuple(set(Layer) - {Layer.LANDLOCK}))

        with pytest.raises(CageIncomplete, match=r"TRAINYARD_CAGE.*landlock \(absent\)"):
            plan.check()

    def test_a_cage_that_is_off_is_none_and_is_logged(self, home: Path) -> None:
        with capture_logs() as logs:
            CagePlan(home, "off").check()

        assert CagePlan(home, "off").cage({}) is None
        assert [line["event"] for line in logs] == ["cage.off"]

    def test_a_machine_without_any_layer_has_no_cage(self, home: Path) -> None:
        assert PlanWith(home, present=()).cage({}) is None

    def test_slots_have_different_users_and_only_those_with_gpus_their_devices(
        self, home: Path
    ) -> None:
        settings = Settings(home=home, cage_host_network=("1",))

        plans = [CagePlan.of_slot(settings, name, gpus) for name, gpus in SLOTS.items()]

        assert len({plan.user for plan in [*plans, CagePlan.of_verifier(settings)]}) == 4
        assert [plan.has_gpus for plan in plans] == [False, True, True]
        assert [plan.network for plan in plans] == ["none", "none", "host"]

    def test_a_cage_is_equal_after_it_was_written_and_read(self) -> None:
        cage = Cage(code=("/a",), write=("/b",), memory_bytes=5, layers=(Layer.LANDLOCK,))

        assert Cage.from_json(cage.to_json()) == cage

    def test_the_home_is_no_code_although_a_search_path_contains_it(self, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        (tmp_path / "plugin.py").touch()
        plan = PlanWith(tmp_path / "home", present=ALONE)

        cage = plan.cage({"PYTHONPATH": str(tmp_path)})

        assert cage is not None
        assert str(tmp_path / "plugin.py") in cage.code
        assert not any((tmp_path / "home").is_relative_to(path) for path in cage.code)


SLOTS = {"cpu": (), "0": (0,), "1": (1,)}
