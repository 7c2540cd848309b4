"""The objects that all parts of a slot's process share, created once at its start."""

import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from app.core.cage.plan import CagePlan
from app.core.database import Database
from app.core.free_space import DiskReserve
from app.core.storage import ArtifactStore
from app.jobs.life.claim import SlotOffer
from app.settings import Settings
from worker.dataset_cache.cache import DatasetCache
from worker.processes.starter import ProcessStarter
from worker.slots import Slot
from worker.usage.gpus import GpuUse
from worker.usage.slot import SlotUse

TRAINER_ARGV = (sys.executable, "-m", "worker.trainer")
PREPARER_ARGV = (sys.executable, "-m", "worker.trainer.datasets")
INSPECTOR_ARGV = (sys.executable, "-m", "worker.trainer.weights")
PAINTER_ARGV = (sys.executable, "-m", "worker.pictures")


@dataclass(frozen=True)
class WorkerContext:
    """The slot, its database, store and settings.

    `plugins` names the usable trainer plugins. `leaving` is set when the process must end,
    `hurrying` when it must end without a grace period for the trainer. `starter` starts trainers,
    proofs and inspections, and `cages` says what each may reach. `trainer_argv` starts the trainer;
    the path of its job.json is appended.
    `preparer_argv` starts the program that scans and decodes datasets, with a request's path.
    `inspector_argv` starts the program that inspects weights, and `painter_argv` the one that makes
    small pictures, with a request's path. `disk` is the free space in reserve. `use` is what the
    slot's trainer and GPUs use now.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    datasets: DatasetCache
    slot: Slot
    worker_id: str
    queues: tuple[str, ...]
    leaving: threading.Event
    starter: ProcessStarter
    cages: CagePlan
    hurrying: threading.Event = field(default_factory=threading.Event)
    plugins: tuple[str, ...] = ()
    trainer_argv: tuple[str, ...] = TRAINER_ARGV
    preparer_argv: tuple[str, ...] = PREPARER_ARGV
    inspector_argv: tuple[str, ...] = INSPECTOR_ARGV
    painter_argv: tuple[str, ...] = PAINTER_ARGV
    use: SlotUse = field(default_factory=lambda: SlotUse(GpuUse()))
    disk: DiskReserve = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "disk", DiskReserve.of(self.settings, self.store))

    @property
    def offer(self) -> SlotOffer:
        """The slot's offer: the jobs that it can run."""
        return SlotOffer(self.worker_id, self.queues, len(self.slot.gpus), self.plugins)

    @property
    def attempts_folder(self) -> Path:
        """The folder of the directories of running attempts."""
        return attempts_folder(self.settings)


def worker_home(settings: Settings) -> Path:
    """Return the folder that all slots of this machine share."""
    return settings.home / "worker"


def attempts_folder(settings: Settings) -> Path:
    """Return the folder of the directories of running attempts."""
    return worker_home(settings) / "attempts"
