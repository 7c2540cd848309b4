"""A slot with its home, a data set and jobs, whose trainer is the fake one."""

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import update

from app.core.database import Database
from app.core.storage import ArtifactStore
from app.datasets.pack import PackWriter, extract_pack
from app.datasets.tables import DatasetVersion
from app.jobs.spec import JobSpec, SpecFacts, resolve_spec
from app.settings import Settings, Timing
from tests.jobs.builders import Home, a_home, a_job
from tests.worker.claims import QUICK, WORKER_ID
from worker.context import TRAINER_ARGV, WorkerContext
from worker.dataset_cache import DatasetCache
from worker.slots import Slot

FAKE_TRAINER = Path(__file__).with_name("fake_trainer.py")


@dataclass(frozen=True)
class Yard:
    """One slot, and the home of its jobs."""

    context: WorkerContext
    home: Home

    def with_trainer(self, scenario: str, *made: Path) -> "Yard":
        """The same slot, whose trainer acts out a scenario of `fake_trainer.py`.

        It pretends to have made best.pt and best_recall.pt as the files `made` are.
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
        """Add a job of three epochs; `fields` are others of its spec."""
        spec = a_spec(self.home, customize, fields)
        facts = SpecFacts(dataset_version=self.home.version_id, task="detect")
        return a_job(
            self.context.database,
            self.home,
            spec=spec.model_dump(mode="json", exclude_unset=True),
            resolved_spec=resolve_spec(spec, facts).model_dump(mode="json"),
            **columns,
        )


def a_spec(
    home: Home,
    customize: Mapping[str, object] | None,
    fields: Mapping[str, object] = MappingProxyType({}),
) -> JobSpec:
    return JobSpec.model_validate(
        {
            "dataset": home.dataset_id,
            "model": "yolo26n.yaml",
            "train": {"epochs": 3},
            "customize": customize,
        }
        | dict(fields)
    )


def a_yard(database: Database, folder: Path, *, timing: Timing = QUICK) -> Yard:
    """Make a slot in `folder`; its data set is one file, which the fake trainer does not read."""
    settings = Settings(home=folder / "home", timing=timing)
    store = ArtifactStore.from_settings(settings)
    home = a_home(database)
    with PackWriter(folder / "pack.zip") as pack:
        pack.add("data.yaml", b"names: [circle]\n")
        pack.add("images/train/0.txt", b"no image")
    stored = store.put_file(folder / "pack.zip")
    with database.write() as unit:
        unit.session.execute(
            update(DatasetVersion)
            .where(DatasetVersion.id == home.version_id)
            .values(pack_sha256=stored.sha256, pack_bytes=stored.size_bytes)
        )
    context = WorkerContext(
        settings=settings,
        database=database,
        store=store,
        datasets=DatasetCache(settings.home / "worker" / "datasets", store, extract_pack, 2**30),
        slot=Slot(),
        worker_id=WORKER_ID,
        queues=("default",),
        leaving=threading.Event(),
        trainer_argv=TRAINER_ARGV,
    )
    return Yard(context, home)
