"""Random kills of every process while jobs run: `make soak MINUTES=3 DATABASE=postgresql`.

Jobs are submitted throughout. Every few seconds the soak kills, freezes or flushes something, and
soon restarts it, as a service manager would. After the given minutes the kills end, every job must
succeed, and the invariants are checked. The printed seed repeats the choices of a run, but not
their times.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Self

from redis import RedisError

from app.core.migrations import upgrade
from tests.datasets.builders import a_detect_zip
from tests.faults.invariants import violations
from tests.faults.postgres import a_postgres
from tests.waiting import eventually
from tests.worlds.cluster import (
    NULL_TIMING,
    REAL_TIMING,
    Cluster,
    Node,
    a_cluster,
    null_job,
    real_job,
)
from tests.worlds.program import Program, _signal
from tests.worlds.server import TRAIN_IMAGES, VAL_IMAGES

SERVERS, WORKERS = 2, 3
SUBMITTED_WITHIN = 0.7
"""The share of the time with kills in which jobs are submitted; in the rest all jobs exist."""
SETTLE_SECONDS = 600.0
LOOK_SECONDS = 0.25
SHORTEST_LIFE_SECONDS = 1.0
LONGEST_ABSENCE_SECONDS = 3.0
LONGEST_FREEZE_SECONDS = 4.0
NULL_EPOCHS, REAL_EPOCHS = 12, 8
INTERRUPTED = 130


@dataclass(frozen=True)
class Plan:
    """The jobs to run, the duration, and the time between kills."""

    minutes: float
    null_jobs: int
    real_jobs: int
    seed: int
    pause_seconds: tuple[float, float] = (2.0, 6.0)
    seconds_per_epoch: float = 0.4

    @classmethod
    def of(cls, minutes: float, seed: int) -> "Plan":
        """Plan 12 jobs without training and 1 real one for 3 minutes, 200 and 4 for 30."""
        if minutes <= 3:
            return cls(minutes, null_jobs=12, real_jobs=1, seed=seed)
        share = minutes / 30
        return cls(minutes, round(200 * share), max(1, round(4 * share)), seed)


@dataclass(frozen=True)
class Result:
    """The result of a soak."""

    jobs: int
    faults: Counter[str]
    violations: list[str]
    seconds: float

    def __str__(self) -> str:
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return (
            f"soak: {self.jobs} jobs, {self.faults.total()} faults ({done}), "
            f"{len(self.violations)} violations, {self.seconds:.0f} s"
        )


class Keeper:
    """Restarts dead programs after some time, in a separate thread."""

    def __init__(self, programs: list[Program]) -> None:
        self._programs = programs
        self._due: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def leave_dead(self, program: Program, seconds: float) -> None:
        """Restart a killed program only after `seconds`."""
        self._due[program.name] = time.monotonic() + seconds

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            for program in self._programs:
                if not program.is_alive and time.monotonic() >= self._due.get(program.name, 0):
                    self._due[program.name] = time.monotonic() + SHORTEST_LIFE_SECONDS
                    program.start()


@dataclass
class Chaos:
    """Causes a fault every few seconds, in a separate thread."""

    cluster: Cluster
    keeper: Keeper
    plan: Plan
    postgres: Program | None
    faults: Counter[str] = field(default_factory=Counter)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def raging(self) -> Iterator[None]:
        """Cause faults while the block runs."""
        thread = threading.Thread(target=self._run, name="chaos", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        chance = random.Random(self.plan.seed)
        kinds: dict[str, tuple[int, Callable[[random.Random], bool]]] = {
            "server": (2, self._kill_server),
            "worker": (3, self._kill_worker),
            "trainer": (3, self._kill_trainer),
            "frozen worker": (1, self._freeze_worker),
            "broker": (1, self._kill_broker),
            "flushed broker": (1, self._flush_broker),
        }
        if self.postgres is not None:
            kinds["database"] = (1, self._kill_database)
        weights = [weight for weight, _ in kinds.values()]
        while not self._ended.wait(chance.uniform(*self.plan.pause_seconds)):
            kind = chance.choices(list(kinds), weights)[0]
            if kinds[kind][1](chance):
                self.faults[kind] += 1

    def _kill_server(self, chance: random.Random) -> bool:
        return self._kill(chance.choice(self.cluster.servers).program, chance)

    def _kill_worker(self, chance: random.Random) -> bool:
        return self._kill(chance.choice(self.cluster.workers).program, chance)

    def _kill_broker(self, chance: random.Random) -> bool:
        return self._kill(self.cluster.broker, chance)

    def _kill(self, program: Program, chance: random.Random) -> bool:
        self.keeper.leave_dead(program, chance.uniform(0, LONGEST_ABSENCE_SECONDS))
        was_alive = program.is_alive
        program.kill()
        return was_alive

    def _kill_database(self, chance: random.Random) -> bool:
        assert self.postgres is not None
        self.keeper.leave_dead(self.postgres, chance.uniform(0, LONGEST_ABSENCE_SECONDS))
        was_alive = self.postgres.is_alive
        self.postgres.kill_all()
        return was_alive

    def _kill_trainer(self, chance: random.Random) -> bool:
        trainers = [pid for node in self.cluster.workers for pid in _trainers_of(node)]
        if trainers:
            _signal(chance.choice(sorted(trainers)), signal.SIGKILL)
        return bool(trainers)

    def _freeze_worker(self, chance: random.Random) -> bool:
        program = chance.choice(self.cluster.workers).program
        if not program.is_alive:
            return False
        frozen = program.freeze()
        self._ended.wait(chance.uniform(1, LONGEST_FREEZE_SECONDS))
        program.thaw(frozen)
        return True

    def _flush_broker(self, _: random.Random) -> bool:
        try:
            return bool(self.cluster.redis.flushall())
        except (RedisError, OSError):
            return False


def _trainers_of(node: Node) -> list[int]:
    """Return the session leaders below a worker: its trainer, or its check of the weights."""
    attempts = str(node.home / "worker" / "attempts")
    found = []
    for pid in node.program.descendants():
        try:
            works_in = str(Path(f"/proc/{pid}/cwd").readlink())
        except OSError:
            continue
        if works_in.startswith(attempts):
            found.append(pid)
    return found


def run_soak(folder: Path, database: str, plan: Plan) -> Result:
    """Soak a cluster in `folder` and return the result.

    Raises:
        AssertionError: a job did not succeed in time.
    """
    began = time.monotonic()
    timing = REAL_TIMING if plan.real_jobs else NULL_TIMING
    with ExitStack() as stack:
        postgres, url = _database(stack, folder, database)
        cluster = stack.enter_context(a_cluster(folder / "cluster", url, timing))
        cluster.add_server().program.start()
        for number in range(WORKERS):
            cluster.add_worker(slot_alone=number > 0).program.start()
        dataset = cluster.upload(
            a_detect_zip(folder / "shapes.zip", train=TRAIN_IMAGES, val=VAL_IMAGES)
        )
        cluster.await_null_trainer()
        kept = [*cluster.programs, *([postgres] if postgres else [])]
        keeper = stack.enter_context(Keeper(kept))
        chaos = Chaos(cluster, keeper, plan, postgres)
        deadline = time.monotonic() + 60 * plan.minutes
        with chaos.raging():
            _submit_all(cluster, dataset, plan)
            _wait_until(deadline)
        for job_id in cluster.acknowledged:
            cluster.finish(job_id, within=SETTLE_SECONDS)
        found = violations(cluster)
        if found:
            sys.stderr.write(cluster.tails() + "\n")
    return Result(len(cluster.acknowledged), chaos.faults, found, time.monotonic() - began)


def _database(stack: ExitStack, folder: Path, kind: str) -> tuple[Program | None, str]:
    if kind == "postgresql":
        return stack.enter_context(a_postgres(folder / "postgres.log"))
    url = f"sqlite:///{folder / 'trainyard.db'}"
    upgrade(url)
    return None, url


def _submit_all(cluster: Cluster, dataset: str, plan: Plan) -> None:
    null = null_job(epochs=NULL_EPOCHS, seconds_per_epoch=plan.seconds_per_epoch)
    specs = [*[null] * plan.null_jobs, *[real_job(epochs=REAL_EPOCHS)] * plan.real_jobs]
    random.Random(plan.seed).shuffle(specs)
    between = 60 * plan.minutes * SUBMITTED_WITHIN / len(specs)
    began = time.monotonic()
    for number, spec in enumerate(specs):
        _wait_until(began + number * between)
        cluster.submit(dataset, **spec)


def _wait_until(moment: float) -> None:
    eventually(lambda: time.monotonic() >= moment, within=moment - time.monotonic() + 60)


def main() -> int:
    """Run the soak of the command line; return 1 if an invariant is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    plan = Plan.of(asked.minutes, asked.seed)
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="trainyard-soak-", dir="/tmp"))
    say = sys.stdout.write
    say(f"soak: {plan.minutes:g} minutes on {asked.database}, seed {plan.seed}, in {folder}\n")
    sys.stdout.flush()
    try:
        result = run_soak(folder, asked.database, plan)
    except KeyboardInterrupt:
        say("soak: interrupted; every process is stopped\n")
        return INTERRUPTED
    say(f"{result}\n" + "".join(f"  {each}\n" for each in result.violations))
    if result.violations or not result.faults:
        return 1
    shutil.rmtree(folder)
    return 0


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
