"""The world `worker`: one slot in this process with its rows and jobs, and a fake trainer."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import select, update

from app.core.cage.plan import CagePlan
from app.core.database import Database
from app.core.storage import ArtifactStore
from app.datasets.packs.pack import PackWriter
from app.datasets.tables import DatasetVersion
from app.jobs.life.transitions import apply_event
from app.jobs.locks import Hold, lock_job
from app.jobs.repository import attempts_of
from app.jobs.spec.job_spec import JobSpec, SpecFacts, resolve_spec
from app.jobs.states import JobEvent
from app.jobs.tables import Attempt, Epoch, Job
from app.settings import Settings
from app.settings.timing import Timing
from tests.worlds.rows import WORKER_ID, Rows, a_job, job_row, some_rows
from worker.attempt.lease import Lease
from worker.context import TRAINER_ARGV, WorkerContext
from worker.dataset_cache.cache import DatasetCache
from worker.processes.process import living_processes
from worker.processes.starter import ProcessStarter
from worker.slots import Slot
from worker.tasks import work_on

FAKE_TRAINER = Path(__file__).parents[1] / "worker/fake_trainer.py"

NO_PREPARER = (sys.executable, "-c", "raise SystemExit(1)")
"""A program that prepares no dataset: a fake trainer reads none."""

QUICK = Timing(
    lease_seconds=3,
    heartbeat_seconds=0.3,
    self_fence_seconds=2.5,
    request_poll_seconds=0.05,
    restart_backoff_seconds=0.1,
    kill_grace_seconds=0.5,
)
PATIENT = QUICK.model_copy(
    update={"lease_seconds": 30, "heartbeat_seconds": 2, "self_fence_seconds": 25}
)
"""As quick as QUICK except for leases: on a busy machine a write can take seconds."""


@dataclass(frozen=True)
class Worker:
    """One slot, and the rows of its jobs."""

    context: WorkerContext
    rows: Rows

    def with_trainer(self, scenario: str, *made: Path) -> "Worker":
        """Return the same slot with a trainer that plays a scenario of `fake_trainer.py`.

        The trainer pretends that the files `made` are its best.pt and best_recall.pt.
        """
        argv = (sys.executable, str(FAKE_TRAINER), scenario, *map(str, made))
        return replace(self, context=replace(self.context, trainer_argv=argv))

    def submit(
        self,
        *,
        customize: Mapping[str, object] | None = None,
        fields: Mapping[str, object] = MappingProxyType({}),
        **columns: object,
    ) -> str:
        """Add a job of three epochs; `fields` are further fields of its spec."""
        spec = a_spec(self.rows, customize, fields)
        facts = SpecFacts(dataset_version=self.rows.version_id, task="detect")
        return a_job(
            self.context.database,
            self.rows,
            spec=spec.model_dump(mode="json", exclude_unset=True),
            resolved_spec=resolve_spec(spec, facts).model_dump(mode="json"),
            **columns,
        )


def a_spec(
    rows: Rows,
    customize: Mapping[str, object] | None,
    fields: Mapping[str, object] = MappingProxyType({}),
) -> JobSpec:
    return JobSpec.model_validate(
        {
            "dataset": rows.dataset_id,
            "model": "yolo26n.yaml",
            "train": {"epochs": 3},
            "customize": customize,
        }
        | dict(fields)
    )


def a_worker(
    database: Database, folder: Path, *, timing: Timing = PATIENT, state_every: int | None = None
) -> Worker:
    """Make a slot in `folder`; its dataset is one file, which the fake trainer does not read.

    It prepares no dataset. The fake trainer writes training states only if `state_every` is set.
    """
    settings = Settings(home=folder / "home", timing=timing, state_every=state_every)
    store = ArtifactStore.from_settings(settings)
    rows = some_rows(database)
    with PackWriter(folder / "pack.zip") as pack:
        pack.add("data.yaml", b"names: [circle]\n")
        pack.add("images/train/0.txt", b"no image")
    stored = store.put_file(folder / "pack.zip")
    with database.write() as unit:
        unit.session.execute(
            update(DatasetVersion)
            .where(DatasetVersion.id == rows.version_id)
            .values(pack_sha256=stored.sha256, pack_bytes=stored.size_bytes)
        )
    context = WorkerContext(
        settings=settings,
        database=database,
        store=store,
        datasets=DatasetCache(settings.home / "worker" / "datasets", 2**30),
        slot=Slot(),
        worker_id=WORKER_ID,
        queues=("default",),
        leaving=threading.Event(),
        starter=ProcessStarter("never", folder / "preloaded"),
        cages=CagePlan.of_slot(settings, "cpu", ()),
        trainer_argv=TRAINER_ARGV,
        preparer_argv=NO_PREPARER,
    )
    return Worker(context, rows)


@contextmanager
def working(worker: Worker) -> Iterator[threading.Thread]:
    """Work in a separate thread, like a pool's; the block must cause its end."""
    thread = threading.Thread(target=work_on, args=(worker.context,))
    thread.start()
    yield thread
    thread.join(20)
    assert not thread.is_alive()


def request(database: Database, job_id: str, event: JobEvent) -> None:
    with database.write() as unit:
        job = lock_job(unit.session, Job.id == job_id)
        assert job is not None
        apply_event(unit.session, job, event)


def attempts_after_work(worker: Worker, job_id: str) -> int:
    """Work on the jobs that are due and return the job's attempt; one given back is due later."""
    work_on(worker.context)
    return job_row(worker.context.database, job_id).attempt


def checks_of_weights(attempt: str) -> list[int]:
    """Return processes that load an attempt's best.pt, isolated from the one that started them."""
    return [
        pid
        for pid in living_processes(attempt)
        if b"-I" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    ]


def epochs_of(database: Database, job_id: str) -> list[tuple[int, int]]:
    """Return each epoch with the attempt that finished it."""
    with database.read() as unit:
        rows = unit.session.execute(
            select(Epoch.epoch, Epoch.attempt).where(Epoch.job_id == job_id).order_by(Epoch.epoch)
        )
        return [(row.epoch, row.attempt) for row in rows]


def attempts(database: Database, job_id: str) -> list[Attempt]:
    with database.read() as unit:
        return list(attempts_of(unit.session, job_id))


def a_lease(database: Database, hold: Hold, *, timing: Timing = QUICK) -> Lease:
    """Return the lease of a job that was just claimed."""
    return Lease(database, hold, timing=timing, claimed_at=time.monotonic())
