"""The stored row of an epoch: named rates, metrics by class, and whether it is the best."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.database import Database
from app.core.guarded_files import GuardedFolder
from app.core.storage import ArtifactStore
from app.jobs.class_metrics import unpacked
from app.jobs.locks import Hold
from app.jobs.spec.deciding_metric import DecidingMetric
from app.jobs.tables import Epoch, EpochClasses
from tests.worker.conftest import Relayed, epoch_event
from tests.worlds.rows import job_row
from tests.worlds.worker import a_lease
from worker.attempt.relay import Relay
from worker.trainer.protocol import CheckpointEvent, event_line


class TestWhatAnEpochSays:
    def test_named_rates_and_class_metrics_are_recorded_with_an_epoch(
        self, relayed: Relayed
    ) -> None:
        said = epoch_event(1, seq=1, fitness=0.1).model_copy(
            update={"lr": {"lr/backbone/weight": 0.01}, "classes": {"f1(B)": [0.5, None]}}
        )

        relayed.handle(said)
        relayed.handle(relayed.checkpoint(1, seq=2))

        with relayed.database.read() as unit:
            epoch = unit.session.get(Epoch, (relayed.job_id, 1))
            classes = unit.session.get(EpochClasses, (relayed.job_id, 1))
        assert epoch is not None
        assert classes is not None
        assert epoch.lr == {"lr/backbone/weight": 0.01}
        assert unpacked(classes.columns) == {"f1(B)": [0.5, None]}

    def test_what_the_training_used_is_recorded_with_an_epoch(
        self, relayed: Relayed, tmp_path: Path
    ) -> None:
        said = epoch_event(1, seq=1, fitness=0.1).model_copy(update={"loader_wait_seconds": 0.25})
        use = relayed.relay.use
        reading, writing = os.pipe()

        with relayed.relay.relaying(reading, tmp_path / "spool"):
            use.watch(os.getpid())
            use.sample()
            for event in (said, relayed.checkpoint(1, seq=2)):
                os.write(writing, event_line(event))
            os.close(writing)

        with relayed.database.read() as unit:
            epoch = unit.session.get(Epoch, (relayed.job_id, 1))
        assert epoch is not None
        assert epoch.system.keys() == {
            "cpu",
            "memory_bytes",
            "read_bytes",
            "loader_wait_seconds",
        }
        assert epoch.system["loader_wait_seconds"] == 0.25

    @pytest.mark.parametrize(
        ("metric", "value"), [("metrics/recall(B)", 0.7), ("val/box_loss", 2.5)]
    )
    def test_the_best_is_named_after_the_metric_that_the_job_chose(
        self,
        database: Database,
        hold: Hold,
        store: ArtifactStore,
        run_directory: Path,
        checkpoint: Callable[..., CheckpointEvent],
        *,
        metric: str,
        value: float,
    ) -> None:
        deciding = DecidingMetric(metric, (metric,))
        relay = Relay(
            a_lease(database, hold),
            store,
            GuardedFolder(run_directory),
            epochs=3,
            deciding=deciding,
        )
        said = epoch_event(1, seq=1, fitness=-2.5).model_copy(
            update={"metrics": {"metrics/recall(B)": 0.7, "val/box_loss": 2.5}}
        )

        relay.handle(said)
        relay.handle(checkpoint(1, seq=2))

        job = job_row(database, hold.job_id)
        assert (job.best_metric, job.best_value, job.curve) == (metric, value, [value])

    def test_the_later_of_equal_epochs_is_the_best(self, relayed: Relayed) -> None:
        for epoch in (1, 2):
            relayed.handle(epoch_event(epoch, seq=2 * epoch - 1, fitness=0.0))
            relayed.handle(relayed.checkpoint(epoch, seq=2 * epoch))

        job = job_row(relayed.database, relayed.job_id)
        assert (job.best_epoch, job.best_value) == (2, 0.0)

    def test_the_fitness_of_a_plugins_own_columns_is_what_the_trainer_says(
        self, relayed: Relayed
    ) -> None:
        said = epoch_event(1, seq=1, fitness=0.4).model_copy(update={"metrics": {"own/score": 4.0}})

        relayed.handle(said)
        relayed.handle(relayed.checkpoint(1, seq=2))

        job = job_row(relayed.database, relayed.job_id)
        assert (job.best_metric, job.best_value) == ("fitness", 0.4)
