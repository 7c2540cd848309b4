import math
from pathlib import Path
from typing import Any

import pytest
from ultralytics.utils.torch_utils import EarlyStopping

from tests.worker.trainer.customizations.cells import draw_cells
from tests.worker.trainer.customizations.in_process import (
    Training,
    differing_tensors,
    set_up_here,
    train_here,
)
from tests.worker.trainer.jobs import a_job
from worker.trainer.customizations.best_model import BestModel, Patience, metric_in
from worker.trainer.errors import BadSpec
from worker.trainer.interrupts import Interrupts
from worker.trainer.protocol import Event, JobFile
from worker.trainer.run import TrainingRun


class Silence:
    def emit(self, event: Event) -> None:
        """Discards all events."""


class Validations:
    """A trainer that only validates, with Ultralytics' own comparison (trainer.py:919)."""

    best_fitness: float | None = None

    def __init__(self, values: list[float]) -> None:
        self.values = list(values)

    def validate(self) -> tuple[dict[str, float], float]:
        own = float(len(self.values))
        self.best_fitness = own if self.best_fitness is None else max(self.best_fitness, own)
        return {"metrics/rmse": self.values.pop(0), "metrics/delta1": own}, own


def epochs_of(
    values: list[float], tmp_path: Path, *, metric: str = "metrics/rmse"
) -> list[tuple[float | None, float | None]]:
    """Return fitness and best fitness after each epoch of a depth job with these values."""
    job = a_job(tmp_path, tmp_path, task="depth", customize={"best_model": {"metric": metric}})
    run = TrainingRun(job, Silence(), Interrupts())
    trainer: Any = type("Chosen", (BestModel, Validations), {"run": run})(values)
    return [(trainer.validate()[1], trainer.best_fitness) for _ in values]


class TestFitness:
    def test_fitness_is_the_negated_metric_where_lower_is_better(self, tmp_path: Path) -> None:
        epochs = epochs_of([3.0, 2.0, 2.5, 2.0], tmp_path)

        assert epochs == [(-3, -3), (-2, -2), (-2.5, -2), (-2, -2)]

    def test_fitness_is_the_metric_where_higher_is_better(self, tmp_path: Path) -> None:
        epochs = epochs_of([9.0, 9.0], tmp_path, metric="metrics/delta1")

        assert epochs == [(2, 2), (1, 2)]

    def test_nan_never_wins_and_is_no_fitness_to_recover_from(self, tmp_path: Path) -> None:
        epochs = epochs_of([math.nan, 3.0, math.nan, math.inf, 2.0], tmp_path)

        assert epochs == [(None, None), (-3, -3), (None, -3), (None, -3), (-2, -2)]

    def test_a_loss_of_zero_is_the_best_fitness(self, tmp_path: Path) -> None:
        epochs = epochs_of([0.0, 1.0], tmp_path)

        assert epochs == [(0, 0), (-1, 0)]
        assert math.copysign(1, epochs[0][0] or 0) == 1


class TestMetricIn:
    def test_the_error_of_a_missing_metric_names_it_and_those_that_exist(self) -> None:
        with pytest.raises(BadSpec, match=r"best_model .* metrics/mine.* metrics/a, metrics/b"):
            metric_in({"metrics/b": 1, "metrics/a": 2}, "metrics/mine", used_by="best_model")


def last_epoch(stopper: EarlyStopping, fitness: list[float | None]) -> int | None:
    """Return the epoch after which the training stops early; None: it does not."""
    return next((epoch for epoch, each in enumerate(fitness, 1) if stopper(epoch, each)), None)


class TestPatience:
    @pytest.mark.parametrize(
        ("fitness", "best_epoch", "stopped_after"),
        [
            pytest.param([-3, -2, -1, -2, -2], 3, 5, id="negative-values"),
            pytest.param([0.1, 0.2, 0.2, 0.2], 2, 4, id="ties-are-no-improvement"),
            pytest.param([0, 0, 0, 0.1, 0, 0], 4, 6, id="zeros-at-the-start-are-none-yet"),
            pytest.param([None, None], 0, 2, id="never-a-number"),
            pytest.param([-3, None, None], 1, 3, id="epochs-without-a-number-count"),
            pytest.param([-0.1, 0, -0.1, -0.2], 2, 4, id="nothing-below-improves-on-zero"),
        ],
    )
    def test_patience_counts_epochs_since_the_best(
        self, fitness: list[float | None], best_epoch: int, stopped_after: int
    ) -> None:
        stopper = Patience(2, zero_is_a_start=True)

        stopped = last_epoch(stopper, fitness)

        assert (stopper.best_epoch, stopped) == (best_epoch, stopped_after)

    def test_a_loss_of_zero_is_as_good_as_can_be(self) -> None:
        stopper = Patience(2, zero_is_a_start=False)

        assert last_epoch(stopper, [0, 0, 0]) == 3

    def test_patience_of_ultralytics_takes_less_than_zero_for_better(self) -> None:
        stopper = EarlyStopping(2)  # type: ignore[no-untyped-call] # Ultralytics is untyped

        assert last_epoch(stopper, [-0.1, 0, -0.1, -0.2]) is None
        assert stopper.best_epoch == 3

    def test_patience_warns_an_epoch_ahead_that_it_may_stop(self) -> None:
        stopper = Patience(2, zero_is_a_start=True)

        told = [(stopper(epoch, -epoch), stopper.possible_stop) for epoch in (1, 2, 3)]

        assert told == [(False, False), (False, True), (True, True)]

    def test_a_patience_of_zero_never_stops(self) -> None:
        assert last_epoch(Patience(0, zero_is_a_start=True), [-1.0, *[-2.0] * 500]) is None

    @pytest.mark.parametrize(
        ("metric", "stopped_after"), [("metrics/F1(B)", None), ("val/cls_loss", 2)]
    )
    def test_a_run_with_a_chosen_metric_stops_by_our_patience(
        self, metric: str, stopped_after: int | None, cells_job: JobFile, tmp_path: Path
    ) -> None:
        """A score of 0 means that learning has not started, a loss of 0 that it is complete."""
        job = a_job(
            cells_job.dataset_path,
            tmp_path,
            train={"patience": 1},
            customize={"best_model": {"metric": metric}},
        )

        trainer = set_up_here(job)

        assert last_epoch(trainer.stopper, [0.0, 0.0, 0.0]) == stopped_after


class TestBestModel:
    def test_best_pt_is_that_of_a_trainer_written_by_hand(
        self, ours: Training, by_hand: Training
    ) -> None:
        ours.assert_it_trained()

        assert ours.rows == by_hand.rows
        assert differing_tensors(best_of(ours), best_of(by_hand)) == []

    def test_events_checkpoint_and_stopper_agree_on_the_best_epoch(self, ours: Training) -> None:
        losses = {event.epoch: event.metrics["val/cls_loss"] for event in ours.of("epoch")}
        best = min(losses, key=lambda epoch: (losses[epoch], -epoch))
        (final,) = ours.of("final")

        told = [event.epoch for event in ours.of("epoch") if event.fitness == event.best_fitness]
        handed_over = [event.epoch for event in ours.of("checkpoint") if event.files["best.pt"]]
        assert told == handed_over
        assert told[-1] == final.best_epoch == ours.trainer.stopper.best_epoch == best
        assert final.best_fitness == ours.trainer.stopper.best_fitness == -losses[best]

    @pytest.mark.slow
    def test_a_resume_goes_on_with_the_best_of_before(
        self, ours: Training, resumed: Training
    ) -> None:
        losses = [float(row["val/cls_loss"]) for row in resumed.rows]
        (final,) = resumed.of("final")

        assert [event.epoch for event in resumed.of("epoch")] == [3, 4]
        assert resumed.rows[:2] == ours.rows[:2]
        assert final.best_fitness == -min(losses)
        assert final.best_epoch == losses.index(min(losses)) + 1
        assert resumed.of("epoch")[0].best_fitness == -min(losses[:3])

    @pytest.mark.slow
    def test_patience_counts_by_the_chosen_metric_and_best_pt_is_another_one(
        self, ours: Training, plain: Training, cells_job: JobFile, tmp_path: Path
    ) -> None:
        losses = [float(row["val/l1_loss"]) for row in ours.rows]
        own = [float(row["metrics/mAP50-95(B)"]) for row in ours.rows]
        stopped = 1 + next(n for n in range(1, len(losses)) if losses[n] >= min(losses[:n]))
        train = cells_job.spec.train.model_dump() | {"patience": 1}
        customize = {"best_model": {"metric": "val/l1_loss"}}
        job = a_job(
            cells_job.dataset_path,
            tmp_path,
            train=train,
            customize=customize,
            model=cells_job.model,
        )

        training = train_here(job)

        assert [event.epoch for event in training.of("epoch")] == list(range(1, stopped + 1))
        assert training.of("final")[0].best_epoch == stopped - 1 < len(losses) - 1
        assert own[stopped - 1] > max(own[: stopped - 1]), "mAP would have gone on"
        assert differing_tensors(best_of(training), best_of(plain))

    @pytest.mark.slow
    def test_a_metric_that_stays_zero_still_yields_a_best_pt(self, tmp_path: Path) -> None:
        job = a_job(
            draw_cells(tmp_path, classes_in_val=0),
            tmp_path,
            train={"imgsz": 32},
            customize={
                "metrics": {"per_class": True},
                "best_model": {"metric": "metrics/F1(B)"},
            },
        )

        training = train_here(job)

        training.assert_it_trained()
        assert [event.metrics["metrics/F1(B)"] for event in training.of("epoch")] == [0, 0]
        assert training.of("epoch")[1].classes["f1(B)"] == [None, None, None]
        assert training.of("final")[0].best_epoch == 2  # of equal epochs, the later one
        assert best_of(training).exists()


def best_of(training: Training) -> Path:
    folder = training.directory / "final"
    return (folder if folder.exists() else training.directory / "weights") / "best.pt"
