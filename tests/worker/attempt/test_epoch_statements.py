"""What a worker asks of the database in each epoch, statement by statement."""

import pytest

from app.jobs.states import Phase
from tests.counting import statements_to
from tests.worker.conftest import Relayed, epoch_event
from worker.trainer.protocol import BatchEvent, PhaseEvent, StartedEvent, TrainerEvent

OF_ANY_EPOCH = [
    "UPDATE jobs",  # the guard: fence, mark, phase, restarts, curve, best, number of the event
    "INSERT epochs",
    "INSERT events",
    "INSERT artifacts",  # the rows of last.pt, results.csv, best.pt and state.pt, all at once
]
SUPERSEDED = ["DELETE artifacts", "INSERT condemned_objects"]
"""From the third epoch on, the checkpoints that no resume needs any more are dropped."""

STARTED = StartedEvent(
    batches_per_epoch=5,
    epochs=9,
    first_epoch=1,
    batch_size=4,
    threads=1,
    device_name="cpu",
    optimizer="SGD",
    lr0=0.01,
    train_images=18,
    val_images=8,
    environment={"torch": "2.9.1"},
)


def batch(epoch: int) -> BatchEvent:
    return BatchEvent(
        epoch=epoch,
        epochs=9,
        batch=1,
        batches=5,
        losses={"box": 1.0},
        epoch_seconds=0.5,
        eta_seconds=None,
    )


class Told:
    """A relay whose trainer tells one event after another."""

    def __init__(self, relayed: Relayed) -> None:
        self._relayed = relayed
        self._seq = 0

    def __call__(self, event: TrainerEvent) -> list[str]:
        """Handle an event; return its statements."""
        self._seq += 1
        with statements_to(self._relayed.database) as statements:
            self._relayed.handle(event.model_copy(update={"seq": self._seq}))
        return statements

    def epoch(
        self, epoch: int, *, best: bool = True, is_short: bool = False, **more: object
    ) -> list[str]:
        """Handle the two events of an epoch's end; return their statements.

        A report of progress comes before them, unless the epoch is too short for one.
        """
        if not is_short:
            self(batch(epoch))
        fitness = epoch / 10 if best else 0.0
        said = epoch_event(epoch, seq=0, fitness=fitness, best=epoch / 10)
        kept = self._relayed.checkpoint(epoch, seq=0, best=best)
        return self(said.model_copy(update=more)) + self(kept)


@pytest.fixture
def told(relayed: Relayed, monkeypatch: pytest.MonkeyPatch) -> Told:
    """A relay that writes every report of progress, as if a second had passed since the last."""
    monkeypatch.setattr("worker.attempt.relay.PROGRESS_SECONDS", 0)
    told = Told(relayed)
    told(STARTED)
    return told


class TestEpochStatements:
    def test_a_first_epoch_takes_four_statements(self, told: Told) -> None:
        assert told.epoch(1) == OF_ANY_EPOCH

    @pytest.mark.parametrize("best", [True, False], ids=["a new best", "no new best"])
    def test_an_epoch_takes_six_statements_with_its_checkpoint(
        self, told: Told, *, best: bool
    ) -> None:
        for epoch in (1, 2, 3):
            told.epoch(epoch)

        assert told.epoch(4, best=best) == OF_ANY_EPOCH + SUPERSEDED

    def test_a_report_of_progress_takes_two_statements(self, told: Told) -> None:
        assert told(batch(1)) == ["UPDATE jobs", "INSERT job_progress"]

    def test_an_epoch_too_short_for_a_report_takes_one_more_for_its_progress(
        self, told: Told
    ) -> None:
        told.epoch(1)

        assert sorted(told.epoch(2, is_short=True)) == sorted(
            [*OF_ANY_EPOCH, "UPDATE job_progress"]
        )

    def test_an_epoch_takes_one_more_for_metrics_of_each_class(self, told: Told) -> None:
        said = told.epoch(1, classes={"f1(B)": [0.5, None]})

        assert sorted(said) == sorted([*OF_ANY_EPOCH, "INSERT epoch_classes"])

    def test_a_validation_takes_two_statements_in_place_of_a_read_of_the_request(
        self, told: Told
    ) -> None:
        told(PhaseEvent(phase=Phase.TRAINING))
        told(batch(1))

        phases = [told(PhaseEvent(phase=phase)) for phase in (Phase.VALIDATING, Phase.TRAINING)]

        assert phases == [["UPDATE jobs", "INSERT job_progress"], []]
        assert told.epoch(1) == OF_ANY_EPOCH
