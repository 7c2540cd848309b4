"""When a training steps its optimizer, and at which rate: Ultralytics' loop as arithmetic.

Holds for a run in one process, and for one that is resumed exactly; a plain resume steps once more
where it goes on.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.jobs.spec.train_arguments import TrainArguments

ITERATIONS_OF_ADAMW: Final = 10_000
"""Up to so many iterations `auto` chooses AdamW (Ultralytics 8.4.190, trainer.py:1178)."""


@dataclass(frozen=True, slots=True)
class TrainingSchedule:
    """The course of a training, known before it runs (Ultralytics 8.4.190, trainer.py:268-605).

    Args:
        epochs: of the whole training.
        batches: of an epoch.
        accumulate: batches whose gradients add up to a step, once warm.
        warmup_batches: batches until the rates are the scheduled.
        lrf: last rate as a share of the first.
        cos_lr: the rate falls along a cosine, else along a line.
        first_epoch: the first that is trained; those before it are another job's.
    """

    epochs: int
    batches: int
    accumulate: int
    warmup_batches: int
    lrf: float
    cos_lr: bool
    first_epoch: int = 1

    @property
    def epochs_shown(self) -> tuple[int, ...]:
        """The first, the middle and the last epoch trained; fewer where they are the same."""
        first, last = self.first_epoch, self.epochs
        return tuple(sorted({first, (first + last) // 2, last}))

    @property
    def optimizer_steps(self) -> int:
        """Steps in all epochs trained; under mixed precision GradScaler may pass over some."""
        before = (self.first_epoch - 1) * self.batches
        return self._steps_in(self.epochs * self.batches) - self._steps_in(before)

    def accumulate_at(self, batch: int) -> int:
        """Return how many batches make a step, as of that batch of the run (from 0)."""
        if batch >= self.warmup_batches:
            return self.accumulate
        # What np.interp computes, in its order, without the cost of arrays.
        slope = (self.accumulate - 1) / self.warmup_batches
        return max(1, round(slope * batch + 1))

    def rate_at(self, batch: int, *, initial: float, warmup_start: float) -> float:
        """Return the rate that a group has in that batch of the run (from 0).

        Args:
            batch: counted over all epochs.
            initial: rate of the group as the optimizer was built.
            warmup_start: `warmup_bias_lr` for groups of biases, 0 for all others.
        """
        scheduled = initial * self.share_of(batch // self.batches + 1)
        if self.warmup_batches and batch <= self.warmup_batches:
            return float(np.interp(batch, [0, self.warmup_batches], [warmup_start, scheduled]))
        return scheduled

    def recorded_rate(self, epoch: int, *, initial: float, warmup_start: float) -> float:
        """Return the rate in the last batch of an epoch (from 1): what results.csv has as lr/pgN.

        In the csv it is rounded to six significant digits.
        """
        last = epoch * self.batches - 1
        return self.rate_at(last, initial=initial, warmup_start=warmup_start)

    def share_of(self, epoch: int) -> float:
        """Return the scheduled rate in an epoch (from 1) as a share of the initial one."""
        past = epoch - 1
        if self.cos_lr:
            risen = max((1 - math.cos(past * math.pi / self.epochs)) / 2, 0)
            return risen * (self.lrf - 1) + 1
        return max(1 - past / self.epochs, 0) * (1.0 - self.lrf) + self.lrf

    def _steps_in(self, total: int) -> int:
        """Return the steps of the first so many batches."""
        last, steps = -1, 0
        while (at := self._step_after(last)) < total:
            length = self.accumulate_at(at)
            more = (min(self._last_batch_of(length), total - 1) - at) // length
            steps += 1 + more
            last = at + more * length
        return steps

    def _step_after(self, last: int) -> int:
        """Return the first batch that is as far from the last step as its own accumulate says."""
        at = last + 1
        while (soonest := last + self.accumulate_at(at)) > at:
            at = soonest
        return at

    def _last_batch_of(self, length: int) -> int:
        """Return the last batch until which steps are no longer than that."""
        if length >= self.accumulate:
            return self.epochs * self.batches
        # Looked for where the slope says: a long warm-up has tens of thousands of lengths.
        about = int((length - 0.5) * self.warmup_batches / (self.accumulate - 1))
        first, end = max(about - 2, 0), min(about + 3, self.warmup_batches)
        return bisect_right(range(end), length, lo=first, key=self.accumulate_at) - 1


def schedule_of(
    train: TrainArguments, *, images: int, first_epoch: int = 1
) -> TrainingSchedule | None:
    """Return the course of a training; None where batch size or epochs are decided as it runs.

    Args:
        train: as resolved.
        images: of the training split, after `fraction`.
        first_epoch: higher where the training goes on from another job's.
    """
    batch = batch_size(train)
    if batch is None or train.time is not None:
        return None
    batches = math.ceil(max(images, 1) / batch)
    warmup_epochs = min(train.warmup_epochs, train.epochs - 1)
    return TrainingSchedule(
        epochs=train.epochs,
        batches=batches,
        accumulate=min(_nominal_accumulate(train, batch), batches * train.epochs),
        warmup_batches=round(warmup_epochs * batches),
        lrf=train.lrf,
        cos_lr=train.cos_lr,
        first_epoch=first_epoch,
    )


def batch_size(train: TrainArguments) -> int | None:
    """Return the images of a step; None where the GPU's memory decides."""
    return int(train.batch) if train.batch >= 1 else None


def scaled_weight_decay(train: TrainArguments) -> float | None:
    """Return the decay of a step of so many images (trainer.py:322); None: depends on the GPU."""
    batch = batch_size(train)
    if batch is None:
        return None
    return train.weight_decay * batch * _nominal_accumulate(train, batch) / train.nbs


def nominal_iterations(train: TrainArguments, *, images: int) -> int:
    """Return the steps that `auto` goes by, at most, where the GPU decides on the batch size."""
    batch = batch_size(train) or 1
    return math.ceil(images / max(batch, train.nbs)) * train.epochs


def _nominal_accumulate(train: TrainArguments, batch: int) -> int:
    return max(round(train.nbs / batch), 1)
