"""Ends a training as `diverged` if it learned nothing while its losses grew without bound.

Ultralytics itself gives up only if losses are NaN or infinite in several attempts at one epoch.
"""

import math
import statistics
from collections.abc import Mapping
from typing import Any, Final

import torch

from app.jobs.spec.metric_table import metrics_of
from worker.trainer.errors import Diverged
from worker.trainer.mixins.results import rows_of
from worker.trainer.protocol import WarningEvent
from worker.trainer.run import TrainerMixin

FIRST_BATCHES: Final = 10
EXPLODED: Final = 1e6
"""The loss of an epoch, in multiples of that of the first batches, above which it has exploded."""
AUTO_MOMENTUM: Final = 0.9
"""What `optimizer: auto` chooses with either optimizer (Ultralytics 8.4.190, trainer.py:1223)."""
SLOWER: Final = 10.0


class Divergence(TrainerMixin):
    """Compares the training loss of each epoch with that of the job's first batches.

    The loss is the sum of the training losses, as the mean of an epoch. Overrides
    `hook_after_epoch_start`, `hook_after_batch`, `save_metrics` (all after super),
    `_handle_nan_recovery` (around super) and `final_eval` (before super): when the training has
    ended by itself, its last epoch and checkpoint are already reported. A training that was
    requested to stop keeps its result. Reads losses only at the end of an epoch, since reading them
    waits for the GPU.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.first_losses = []
        self.__newest: list[Any] = []
        self.__has_warned = False
        super().__init__(overrides=overrides)

    def hook_after_epoch_start(self) -> None:
        """Drop the losses of an epoch that is repeated."""
        super().hook_after_epoch_start()
        self.__newest.clear()
        if self.resume:  # a plain resume: the job's first batches are not known
            self.first_losses = None

    def hook_after_batch(self) -> None:
        """Keep the loss if this is one of the job's first batches."""
        super().hook_after_batch()
        known = self.first_losses
        if known is not None and len(known) + len(self.__newest) < FIRST_BATCHES:
            self.__newest.append(sum(map(_detached, (self.loss_items or {}).values())))

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """Note the losses of the first batches, and warn of a loss that has exploded."""
        super().save_metrics(metrics)
        if self.first_losses is not None:
            self.first_losses += map(float, self.__newest)
            self.__newest.clear()
        loss = _training_loss(metrics)
        if self.__has_exploded(loss) and math.isfinite(loss) and not self.__has_warned:
            self.__has_warned = True
            message = f"In epoch {self.epoch + 1} {self.__described(loss)}."
            self.run.pipe.emit(WarningEvent(code="loss_exploded", message=message))

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Add the calmer spec to the error of a loss that stays not finite."""
        try:
            return super()._handle_nan_recovery(epoch)
        except Diverged as error:
            error.amended = self.__calmer_spec()
            raise

    def final_eval(self) -> None:
        """Raise `Diverged` if the loss exploded in any epoch and the best fitness is 0 or none."""
        if not (self.__has_learned() or self.run.interrupts.stop_requested):
            self.__check_losses()
        super().final_eval()

    def __has_learned(self) -> bool:
        """Return whether the best fitness is above 0.

        A chosen metric that is better when lower is never 0 after a loss that exploded. Then any
        metric that is better when higher tells.
        """
        choice = self.run.job.spec.customize.best_model
        if choice is None or choice.direction != "lower":
            best = self.best_fitness
            return best is not None and math.isfinite(best) and best != 0
        higher = {name for name, way in metrics_of(self.run.job.task).items() if way == "higher"}
        return any(
            value > 0 for row in rows_of(self.csv) for name, value in row.items() if name in higher
        )

    def __check_losses(self) -> None:
        for row in rows_of(self.csv):
            loss = _training_loss(row)
            if self.__has_exploded(loss):
                where = f"in epoch {row['epoch']:.0f} {self.__described(loss)}"
                error = Diverged(f"No epoch reached a fitness above 0, and {where}.")
                error.amended = self.__calmer_spec()
                raise error

    def __has_exploded(self, loss: float) -> bool:
        usual = self.__usual_loss()
        return not math.isfinite(loss) or (usual is not None and loss > EXPLODED * usual)

    def __usual_loss(self) -> float | None:
        """Return the median of the first batches; None if it is not known or not positive."""
        known = [loss for loss in self.first_losses or () if math.isfinite(loss)]
        median = statistics.median(known) if known else 0.0
        return median if median > 0 else None

    def __described(self, loss: float) -> str:
        usual = self.__usual_loss()
        if usual is None or not math.isfinite(loss):
            return "the training loss was not a finite number"
        return f"the training loss was {loss / usual:.0e} times that of the first batches"

    def __calmer_spec(self) -> Mapping[str, Any] | None:
        """Return a merge patch of the spec with a tenth of the learning rate.

        With `optimizer: auto` the rate was chosen together with the optimizer, so both are named.
        So they are for an extension, whose parent's optimizer may have been chosen that way.
        """
        train: dict[str, Any] = {"lr0": float(f"{self.args.lr0 / SLOWER:.6g}")}
        is_auto = self.run.job.spec.train.optimizer == "auto"
        if is_auto and self.args.optimizer == "auto":  # a trainer plugin made the optimizer
            return None
        if is_auto or self.run.job.joint is not None:
            train["optimizer"] = self.args.optimizer
            train["momentum"] = AUTO_MOMENTUM if is_auto else self.args.momentum
            train["warmup_bias_lr"] = self.args.warmup_bias_lr
        return {"train": train}


def _training_loss(row: Mapping[str, Any]) -> float:
    return sum(float(value) for name, value in row.items() if name.startswith("train/"))


def _detached(loss: Any) -> Any:  # noqa: ANN401 -- a tensor, or a number of a plugin
    return loss.detach() if isinstance(loss, torch.Tensor) else loss
