"""The optimizer steps and learning rates of a training: Ultralytics' loop as arithmetic.

Valid for an uninterrupted training and for one that was resumed exactly. A plain resume makes one
more step where it continues.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.jobs.spec.train_arguments import TrainArguments

ITERATIONS_OF_ADAMW: Final = 10_000
"""`auto` chooses AdamW up to this many iterations (Ultralytics 8.4.190, trainer.py:1178)."""


@dataclass(frozen=True, slots=True)
class TrainingSchedule:
    """The steps and rates of a training before it runs (Ultralytics 8.4.190, trainer.py:268-605).

    Args:
        epochs: epochs of the whole training.
        batches: batches per epoch.
        accumulate: batches per optimizer step after the warm-up.
        warmup_batches: batches until the warm-up ends.
        lrf: final rate as a share of the initial one.
        cos_lr: whether the rate falls along a cosine instead of a line.
        first_epoch: first epoch trained; the parent trained the epochs before it.
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
        """The first, the middle and the last epoch trained, without duplicates."""
        first, last = self.first_epoch, self.epochs
        return tuple(sorted({first, (first + last) // 2, last}))

    @property
    def optimizer_steps(self) -> int:
        """Steps in all epochs trained; with mixed precision GradScaler may skip some."""
        before = (self.first_epoch - 1) * self.batches
        return self._steps_in(self.epochs * self.batches) - self._steps_in(before)

    def accumulate_at(self, batch: int) -> int:
        """Return the number of batches per step at that batch of the training (from 0)."""
        if batch >= self.warmup_batches:
            return self.accumulate
        # The arithmetic of np.interp in the same order, without the cost of arrays.
        slope = (self.accumulate - 1) / self.warmup_batches
        return max(1, round(slope * batch + 1))

    def rate_at(self, batch: int, *, initial: float, warmup_start: float) -> float:
        """Return a group's rate at that batch of the training (from 0).

        Args:
            batch: batch number over all epochs.
            initial: the group's rate when the optimizer was built.
            warmup_start: `warmup_bias_lr` for bias groups, 0 for all others.
        """
        scheduled = initial * self.share_of(batch // self.batches + 1)
        if self.warmup_batches and batch <= self.warmup_batches:
            return float(np.interp(batch, [0, self.warmup_batches], [warmup_start, scheduled]))
        return scheduled

    def recorded_rate(self, epoch: int, *, initial: float, warmup_start: float) -> float:
        """Return the rate in the last batch of an epoch (from 1), which results.csv has as lr/pgN.

        The CSV rounds it to six significant digits.
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
        """Return the number of steps in the first `total` batches."""
        last, steps = -1, 0
        while (batch := self._step_after(last)) < total:
            length = self.accumulate_at(batch)
            more = (min(self._last_batch_of(length), total - 1) - batch) // length
            steps += 1 + more
            last = batch + more * length
        return steps

    def _step_after(self, last: int) -> int:
        """Return the first batch whose distance from the last step reaches its `accumulate`."""
        batch = last + 1
        while (soonest := last + self.accumulate_at(batch)) > batch:
            batch = soonest
        return batch

    def _last_batch_of(self, length: int) -> int:
        """Return the last batch at which a step takes at most `length` batches."""
        if length >= self.accumulate:
            return self.epochs * self.batches
        # Searched near the position that the slope gives: a long warm-up has tens of thousands of
        # lengths.
        about = int((length - 0.5) * self.warmup_batches / (self.accumulate - 1))
        first, end = max(about - 2, 0), min(about + 3, self.warmup_batches)
        return bisect_right(range(end), length, lo=first, key=self.accumulate_at) - 1


def schedule_of(
    train: TrainArguments, *, images: int, first_epoch: int = 1
) -> TrainingSchedule | None:
    """Return the schedule, or None if batch size or epochs are decided during the training.

    Args:
        train: the resolved arguments.
        images: images of the training split, after `fraction`.
        first_epoch: above 1 if the job continues another job's training.
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
    """Return the batch size, or None if the GPU's memory determines it."""
    return int(train.batch) if train.batch >= 1 else None


def scaled_weight_decay(train: TrainArguments) -> float | None:
    """Return the weight decay scaled to the batch (trainer.py:322); None if the GPU sets that."""
    batch = batch_size(train)
    if batch is None:
        return None
    return train.weight_decay * batch * _nominal_accumulate(train, batch) / train.nbs


def nominal_iterations(train: TrainArguments, *, images: int) -> int:
    """Return the iterations by which `auto` chooses; the maximum if the GPU sets the batch size."""
    batch = batch_size(train) or 1
    return math.ceil(images / max(batch, train.nbs)) * train.epochs


def _nominal_accumulate(train: TrainArguments, batch: int) -> int:
    return max(round(train.nbs / batch), 1)
