"""Chooses best.pt by a metric instead of Ultralytics' own fitness."""

import math
from collections.abc import Mapping
from typing import Any

from ultralytics.utils.torch_utils import EarlyStopping

from app.jobs.spec.customize import BestModel as Choice
from app.jobs.spec.customize import Customize
from app.jobs.spec.metric_table import FITNESS
from worker.trainer.errors import BadSpec
from worker.trainer.run import TrainerMixin


def has_chosen_metric(customize: Customize) -> bool:
    """Return whether the job chooses best.pt by another metric than Ultralytics' fitness."""
    return customize.best_model is not None and customize.best_model.metric != FITNESS


class BestModel(TrainerMixin):
    """Makes the chosen metric the fitness, which best.pt, last.pt, early stopping and resume use.

    Overrides `validate` (after super, which has already compared Ultralytics' own fitness) and
    `resume_training` (before super, which restores the state of early stopping; called in the setup
    of every training). A metric that is better when lower is negated. Among equal epochs the later
    one is the best, as with Ultralytics' own fitness (trainer.py:833).
    """

    def validate(self) -> tuple[dict[str, float] | None, float | None]:
        """Replace the fitness by the chosen metric."""
        best_before = self.best_fitness
        metrics, _ = super().validate()
        if metrics is None:
            return None, None
        fitness = self.__fitness_in(metrics)
        is_better = fitness is not None and (best_before is None or fitness > best_before)
        self.best_fitness = fitness if is_better else best_before
        return metrics, fitness

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Set up early stopping for any metric, before its state is restored."""
        self.stopper = Patience(patience=self.args.patience, zero_is_a_start=self.__sign > 0)
        super().resume_training(ckpt)

    def __fitness_in(self, metrics: Mapping[str, float]) -> float | None:
        """Return the fitness; None for NaN, so that Ultralytics does not repeat the epoch."""
        value = metric_in(metrics, self.__choice.metric, used_by="best_model")
        return self.__sign * value + 0.0 if math.isfinite(value) else None  # 0.0: never minus zero

    @property
    def __choice(self) -> Choice:
        return self.run.job.spec.customize.best_model or Choice(metric=FITNESS)

    @property
    def __sign(self) -> float:
        return -1.0 if self.__choice.direction == "lower" else 1.0


class Patience(EarlyStopping):
    """Early stopping that tracks the best epoch correctly for any range of metric values.

    Ultralytics' own (torch_utils.py:1142) treats any value as an improvement on 0, also a lower
    one, and does not count an epoch without a value. Here an epoch is an improvement if its value
    is higher than all before or, at the start of a training, if it is 0 again.

    Args:
        patience: Epochs without improvement after which the training ends; 0 disables it.
        zero_is_a_start: Whether 0 means that the model has not learned anything yet.
    """

    def __init__(self, patience: int, *, zero_is_a_start: bool) -> None:
        super().__init__(patience)  # type: ignore[no-untyped-call]
        self._zero_is_a_start = zero_is_a_start

    def __call__(self, epoch: int, fitness: float | None) -> bool:
        if fitness is not None and self._improves(fitness):
            self.best_epoch, self.best_fitness = epoch, fitness
        waited = epoch - self.best_epoch
        self.possible_stop = waited >= self.patience - 1
        return waited >= self.patience

    def _improves(self, fitness: float) -> bool:
        is_first = self.best_epoch == 0
        still_zero = self._zero_is_a_start and fitness == self.best_fitness == 0
        return is_first or still_zero or fitness > self.best_fitness


def metric_in(metrics: Mapping[str, float], name: str, *, used_by: str) -> float:
    """Return a metric by its name.

    Raises:
        BadSpec: This training has no such metric.
    """
    if name not in metrics:
        known = ", ".join(sorted(metrics))
        raise BadSpec(f"{used_by} uses {name}, but the metrics of this training are {known}.")
    return float(metrics[name])
