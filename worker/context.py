"""What every part of one slot's process may reach: made once, as the process starts."""

import sys
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from app.core.database import Database
from app.core.storage import ArtifactStore
from app.jobs.life.claim import SlotOffer
from app.settings import Settings
from worker.dataset_cache import DatasetCache
from worker.slots import Slot

TRAINER_ARGV = (sys.executable, "-m", "worker.trainer")
INSPECTOR_ARGV = (sys.executable, "-m", "worker.trainer.weights")


@dataclass(frozen=True)
class WorkerContext:
    """The slot, its database, store and settings.

    `plugins` names the trainer plugins that can be used; `leaving` is set once the process must
    end, `hurrying` once it must end without a grace for the trainer; `trainer_argv` is the program
    that trains, to which the path of its job.json is added; `inspector_argv` the one that reads
    weights.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    datasets: DatasetCache
    slot: Slot
    worker_id: str
    queues: tuple[str, ...]
    leaving: threading.Event
    hurrying: threading.Event = field(default_factory=threading.Event)
    plugins: tuple[str, ...] = ()
    trainer_argv: tuple[str, ...] = TRAINER_ARGV
    inspector_argv: tuple[str, ...] = INSPECTOR_ARGV

    @property
    def offer(self) -> SlotOffer:
        """What the slot can run."""
        return SlotOffer(self.worker_id, self.queues, len(self.slot.gpus), self.plugins)

    @property
    def lease_length(self) -> timedelta:
        """How long a claim holds before it is renewed, by the database's clock."""
        return timedelta(seconds=self.settings.timing.lease_seconds)

    @property
    def attempts_folder(self) -> Path:
        """Where attempts have their directories while they run."""
        return attempts_folder(self.settings)


def worker_home(settings: Settings) -> Path:
    """The folder of all slots of this machine."""
    return settings.home / "worker"


def attempts_folder(settings: Settings) -> Path:
    """Where attempts have their directories while they run."""
    return worker_home(settings) / "attempts"
