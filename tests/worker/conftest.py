"""A claimed job, and a relay of its trainer's events."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.database import Database
from app.core.guarded_files import GuardedFolder
from app.core.storage import ArtifactStore
from app.jobs.locks import Hold
from app.jobs.spec.deciding_metric import FITNESS_OF
from tests.worlds.worker import Worker, a_lease, a_worker
from worker.attempt.relay import Relay
from worker.trainer.protocol import CheckpointEvent, EpochEvent, StateEvent, TrainerEvent

MAP = "metrics/mAP50-95(B)"


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> Worker:
    return a_worker(database, tmp_path)


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    (tmp_path / "run" / "outbox").mkdir(parents=True)
    return tmp_path / "run"


@pytest.fixture
def relay(database: Database, hold: Hold, store: ArtifactStore, run_directory: Path) -> Relay:
    lease = a_lease(database, hold)
    return Relay(
        lease, store, GuardedFolder(run_directory), epochs=3, deciding=FITNESS_OF["detect"]
    )


@pytest.fixture
def checkpoint(run_directory: Path) -> Callable[..., CheckpointEvent]:
    """Return a function that writes an epoch's checkpoint files and returns their event."""

    def make(
        epoch: int, *, seq: int, best: bool = True, kept: tuple[str, ...] = ()
    ) -> CheckpointEvent:
        names = ["last.pt", "results.csv", *(["best.pt"] if best else []), *kept]
        for name in names:
            (run_directory / "outbox" / name).write_text(f"{name} of {epoch}")
        files: dict[str, str | None] = {name: f"outbox/{name}" for name in names}
        return CheckpointEvent(seq=seq, epoch=epoch, files=files)

    return make


@dataclass(frozen=True)
class Relayed:
    """A claimed job's relay, the rows and bytes that it writes, and checkpoints to feed it."""

    database: Database
    hold: Hold
    relay: Relay
    store: ArtifactStore
    checkpoint: Callable[..., CheckpointEvent]
    run_directory: Path

    @property
    def job_id(self) -> str:
        return self.hold.job_id

    def handle(self, event: TrainerEvent) -> None:
        self.relay.handle(event)

    def state(self, epoch: int, *, seq: int) -> StateEvent:
        """Write a training state and return the event that comes after the epoch's checkpoint."""
        (self.run_directory / "outbox" / "late").write_text(f"state.pt of {epoch}")
        return StateEvent(seq=seq, epoch=epoch, file="outbox/late")


@pytest.fixture
def relayed(
    database: Database,
    hold: Hold,
    relay: Relay,
    store: ArtifactStore,
    checkpoint: Callable[..., CheckpointEvent],
    run_directory: Path,
) -> Relayed:
    return Relayed(database, hold, relay, store, checkpoint, run_directory)


def epoch_event(epoch: int, *, seq: int, fitness: float, best: float | None = None) -> EpochEvent:
    return EpochEvent(
        seq=seq,
        epoch=epoch,
        epochs=max(3, epoch),
        metrics={"train/box_loss": 1.5, MAP: fitness},
        fitness=fitness,
        best_fitness=fitness if best is None else best,
        seconds=2.0,
        optimizer_steps=4,
        eta_seconds=2.0 * (3 - epoch) if epoch < 3 else None,
    )
