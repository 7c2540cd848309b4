"""Trainings whose losses explode: which of them end as `diverged`, and with which amended spec."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from app.core.tasks import Task
from app.jobs.commands.clone import merge_patch
from app.jobs.plan.optimizer import choose_optimizer
from app.jobs.spec.job_spec import JobSpec
from app.jobs.spec.train_arguments import TrainArguments
from tests.worker.trainer.customizations.in_process import Heard, next_attempt, train_here
from tests.worker.trainer.jobs import DATASET_VERSION, a_job
from worker.trainer.errors import Diverged
from worker.trainer.interrupts import Interrupts
from worker.trainer.mixins.divergence import AUTO_MOMENTUM, FIRST_BATCHES, Divergence
from worker.trainer.protocol import JobFile
from worker.trainer.run import TrainingRun
from worker.trainer.state.parts import AT_SETUP, put_parts

USUAL = 8.0
BATCHES = 4


class Upstream:
    """Replaces Ultralytics' trainer; each epoch has four batches."""

    def __init__(self, overrides: dict[str, object]) -> None:
        self.csv = Path(str(overrides["csv"]))
        self.args = SimpleNamespace(lr0=0.02, optimizer="SGD", momentum=0.9, warmup_bias_lr=0.1)
        self.best_fitness: float | None = 0.0
        self.epoch = -1
        self.resume = False
        self.has_finalized = False
        self.map50 = 0.0
        self.loss_items: dict[str, torch.Tensor] = {}

    def run_callbacks(self, event: str) -> None:
        self.newest_event = event

    def save_metrics(self, metrics: dict[str, float]) -> None:
        with self.csv.open("a", encoding="utf-8") as table:
            rows = csv.writer(table)
            if self.epoch == 0:
                rows.writerow(["epoch", *metrics])
            rows.writerow([self.epoch + 1, *metrics.values()])

    def _handle_nan_recovery(self, epoch: int) -> bool:
        raise Diverged(f"NaN in epoch {epoch}")

    def final_eval(self) -> None:
        self.has_finalized = True


class Trainer(Divergence, Upstream):  # type: ignore[misc] # it has fewer attributes
    """The mixin over the replaced trainer."""

    def train_epoch(self, loss: float, *, batches: Iterable[float] | None = None) -> None:
        """Train an epoch of a mean loss; its batches have this loss unless they are given."""
        self.epoch += 1
        self.train_batches([loss] * BATCHES if batches is None else batches)
        self.save_metrics(
            {
                "train/box_loss": 0.25 * loss,
                "train/cls_loss": 0.75 * loss,
                "metrics/mAP50(B)": self.map50,
                "val/box_loss": 1.0,
            }
        )

    def train_batches(self, losses: Iterable[float]) -> None:
        self.run_callbacks("on_train_epoch_start")
        for loss in losses:
            self.loss_items = {"box": torch.tensor(0.25 * loss), "cls": torch.tensor(0.75 * loss)}
            self.run_callbacks("on_train_batch_end")

    @property
    def warnings(self) -> list[str]:
        return [event.code for event in cast("Heard", self.run.pipe).events]  # type: ignore[union-attr]


@pytest.fixture
def trainer_of(tmp_path: Path) -> Callable[..., Trainer]:
    """Return a function that makes a trainer of a job with the given arguments."""

    def make(
        *, customize: Mapping[str, object] | None = None, joint: int | None = None, **train: object
    ) -> Trainer:
        job = a_job(tmp_path, tmp_path, train=train, customize=customize, joint=joint)
        run = TrainingRun(job, Heard(), Interrupts())
        kind = type("Training", (Trainer,), {"run": run})
        return cast("Trainer", kind(overrides={"csv": tmp_path / "results.csv"}))

    return make


@pytest.fixture
def trainer(trainer_of: Callable[..., Trainer]) -> Trainer:
    """A trainer whose first two epochs were usual."""
    trainer = trainer_of()
    trainer.train_epoch(USUAL)
    trainer.train_epoch(USUAL / 2)
    return trainer


class TestEnd:
    @pytest.mark.parametrize("loss", [USUAL * 2e6, math.inf, math.nan])
    @pytest.mark.parametrize("best", [0.0, None, math.nan])
    def test_a_training_that_learned_nothing_after_its_loss_exploded_ends_as_diverged(
        self, trainer: Trainer, loss: float, best: float | None
    ) -> None:
        trainer.train_epoch(loss)
        trainer.train_epoch(USUAL)
        trainer.best_fitness = best

        with pytest.raises(Diverged, match="in epoch 3 the training loss was") as raised:
            trainer.final_eval()

        assert raised.value.amended == {"train": {"lr0": 0.002}}
        assert not trainer.has_finalized

    @pytest.mark.parametrize(
        ("loss", "best"),
        [(USUAL * 2e6, 0.001), (math.nan, 0.001), (USUAL * 9e5, 0.0), (USUAL, 0.0), (USUAL, -2.5)],
    )
    def test_a_training_that_learned_or_had_usual_losses_is_finalized(
        self, trainer: Trainer, loss: float, best: float
    ) -> None:
        trainer.train_epoch(loss)
        trainer.best_fitness = best

        trainer.final_eval()

        assert trainer.has_finalized

    @pytest.mark.parametrize(("map50", "has_diverged"), [(0.0, True), (0.1, False)])
    def test_another_metric_tells_whether_it_learned_if_a_low_value_is_the_best(
        self, trainer_of: Callable[..., Trainer], map50: float, *, has_diverged: bool
    ) -> None:
        choice = {"best_model": {"metric": "val/box_loss", "direction": "lower"}}
        trainer = trainer_of(customize=choice)
        trainer.map50 = map50
        trainer.train_epoch(USUAL)
        trainer.train_epoch(math.nan)
        trainer.best_fitness = -1.0

        with pytest.raises(Diverged) if has_diverged else nullcontext():
            trainer.final_eval()

        assert trainer.has_finalized is not has_diverged

    def test_a_training_that_was_requested_to_stop_keeps_its_result(self, trainer: Trainer) -> None:
        trainer.train_epoch(math.nan)
        trainer.run.interrupts.stop_requested = True

        trainer.final_eval()

        assert trainer.has_finalized


class TestFirstBatches:
    def test_a_loss_is_compared_with_the_median_of_the_first_ten_batches(
        self, trainer: Trainer
    ) -> None:
        trainer.train_epoch(1.0, batches=[3.0, 3.0, 99.0, 99.0])

        assert trainer.first_losses == [8.0] * 4 + [4.0] * 4 + [3.0] * 2
        assert len(trainer.first_losses) == FIRST_BATCHES

    def test_batches_of_an_epoch_that_is_repeated_do_not_count(
        self, trainer_of: Callable[..., Trainer]
    ) -> None:
        trainer = trainer_of()
        trainer.train_batches([math.nan, math.nan])

        trainer.train_epoch(USUAL, batches=[1.0])

        assert trainer.first_losses == [1.0]

    @pytest.mark.parametrize("first", [-3.0, 0.0, math.inf])
    def test_first_losses_that_are_no_measure_leave_a_finite_loss_unjudged(
        self, trainer_of: Callable[..., Trainer], first: float
    ) -> None:
        trainer = trainer_of()
        trainer.train_epoch(USUAL, batches=[first])
        trainer.train_epoch(1e20, batches=[first])

        trainer.final_eval()

        assert (trainer.has_finalized, trainer.warnings) == (True, [])

    def test_a_plain_resume_does_not_know_the_first_batches(
        self, trainer_of: Callable[..., Trainer]
    ) -> None:
        trainer = trainer_of()
        trainer.resume = True

        trainer.train_epoch(USUAL)

        assert trainer.first_losses is None


class TestWarning:
    def test_a_loss_that_explodes_is_warned_of_once(self, trainer: Trainer) -> None:
        trainer.train_epoch(USUAL * 2e6)
        trainer.train_epoch(USUAL * 3e6)

        assert trainer.warnings == ["loss_exploded"]

    @pytest.mark.parametrize("loss", [USUAL * 9e5, math.nan])
    def test_a_usual_loss_and_one_that_is_reported_already_are_not_warned_of(
        self, trainer: Trainer, loss: float
    ) -> None:
        trainer.train_epoch(loss)

        assert trainer.warnings == []


class TestAmendedSpec:
    def test_a_loss_that_stays_nan_has_an_amended_spec(self, trainer: Trainer) -> None:
        with pytest.raises(Diverged, match="NaN in epoch 2") as raised:
            trainer._handle_nan_recovery(2)

        assert raised.value.amended == {"train": {"lr0": 0.002}}

    def test_the_optimizer_of_an_extension_is_named_since_auto_may_have_chosen_it(
        self, trainer_of: Callable[..., Trainer]
    ) -> None:
        trainer = trainer_of(joint=2)

        with pytest.raises(Diverged) as raised:
            trainer._handle_nan_recovery(2)

        chosen = {"optimizer": "SGD", "momentum": 0.9, "warmup_bias_lr": 0.1}
        assert raised.value.amended == {"train": {"lr0": 0.002, **chosen}}

    @pytest.mark.parametrize(
        ("optimizer", "lr0"), [("AdamW", 0.001429), ("MuSGD", 0.01)], ids=["AdamW", "MuSGD"]
    )
    def test_the_choice_of_auto_is_amended_as_a_whole_and_makes_a_valid_spec(
        self, trainer_of: Callable[..., Trainer], optimizer: str, lr0: float
    ) -> None:
        trainer = trainer_of(optimizer=None, lr0=None)
        trainer.args = SimpleNamespace(optimizer=optimizer, lr0=lr0, warmup_bias_lr=0.0)
        trainer.train_epoch(math.nan)

        with pytest.raises(Diverged) as raised:
            trainer.final_eval()

        chosen = {"lr0": pytest.approx(lr0 / 10), "momentum": 0.9, "warmup_bias_lr": 0.0}
        assert raised.value.amended == {"train": {"optimizer": optimizer, **chosen}}
        submitted = {"dataset": DATASET_VERSION, "model": "yolo26n.yaml", "train": {"imgsz": 64}}
        merged = JobSpec.model_validate(merge_patch(submitted, raised.value.amended))
        assert (merged.train.optimizer, merged.train.imgsz) == (optimizer, 64)

    def test_an_optimizer_that_a_plugin_made_is_not_amended(
        self, trainer_of: Callable[..., Trainer]
    ) -> None:
        trainer = trainer_of(optimizer=None, lr0=None)
        trainer.args.optimizer = "auto"
        trainer.train_epoch(math.nan)

        with pytest.raises(Diverged) as raised:
            trainer.final_eval()

        assert raised.value.amended is None

    def test_the_momentum_of_auto_is_that_of_the_plan(self) -> None:
        chosen = choose_optimizer(TrainArguments(), images=18, classes=3)

        assert chosen.momentum == AUTO_MOMENTUM


class TestFirstBatchesOfARealTraining:
    @pytest.mark.slow
    def test_the_first_batches_of_a_job_are_known_after_an_exact_resume_and_only_then(
        self, drawn: Callable[[Task], Path], tmp_path: Path
    ) -> None:
        whole = train_here(a_job(drawn("detect"), tmp_path / "whole", state_every=1))

        exact = train_here(next_attempt(whole, tmp_path / "exact", epoch=1))
        plain = train_here(without_state(next_attempt(whole, tmp_path / "plain", epoch=1)))

        modes = [resumed.of("resumed")[0].mode for resumed in (exact, plain)]
        assert modes == ["exact", "plain"]
        assert len(whole.trainer.first_losses) == FIRST_BATCHES
        assert exact.trainer.first_losses == whole.trainer.first_losses
        assert plain.trainer.first_losses is None

    def test_a_state_of_an_earlier_release_leaves_the_first_batches_unknown(
        self, trainer: Trainer
    ) -> None:
        (part,) = (part for part in AT_SETUP if part.name == "first_losses")

        put_parts((part,), trainer, {})

        assert trainer.first_losses is None


def without_state(job: JobFile) -> JobFile:
    return job.model_copy(update={"state_from": None})
