"""Reports phases, progress, epochs and non-finite metrics while a training runs."""

import time
from collections.abc import Mapping
from typing import Any, Final

from app.jobs.states import Phase
from worker.trainer.events import finite, not_finite
from worker.trainer.mixins.pace import Pace
from worker.trainer.mixins.rates import names_of
from worker.trainer.mixins.results import as_written
from worker.trainer.protocol import (
    BatchEvent,
    EpochEvent,
    PhaseEvent,
    StartedEvent,
    WarningEvent,
)
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import Untyped, device_name, threads_in_use

SECONDS_BETWEEN_BATCH_EVENTS: Final = 1.0


class Reporting(TrainerMixin):
    """Emits the events of a running training.

    Overrides four hooks, `save_metrics`, `optimizer_step` and `build_optimizer` (all after super),
    and `validate` (around super).
    Reads losses only when it sends them, since reading them waits for the GPU. When Ultralytics
    repeats an epoch (memory, NaN), its counters restart, and its event is sent once, when the epoch
    is final.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.__pace = Pace()
        self.__batch = 0
        self.__steps = 0
        self.__epoch_began = self.__batch_ended = self.__batch_event_at = time.monotonic()
        self.__row: dict[str, float] = {}
        super().__init__(overrides=overrides)

    def hook_after_setup(self) -> None:
        """Report the start: batches, epochs, device, optimizer, images."""
        super().hook_after_setup()
        self.run.pipe.emit(
            StartedEvent(
                batches_per_epoch=len(self.train_loader),
                epochs=self.epochs,
                first_epoch=self.start_epoch + 1,
                batch_size=self.batch_size,
                threads=threads_in_use(),
                device_name=device_name(self.device),
                optimizer=type(self.optimizer).__name__,
                lr0=self.args.lr0,
                train_images=len(self.train_loader.dataset),
                val_images=len(self.test_loader.dataset),
            )
        )
        self.__enter(Phase.TRAINING)

    def hook_after_epoch_start(self) -> None:
        """Reset the counters and the clock of the epoch."""
        super().hook_after_epoch_start()
        self.__batch = self.__steps = 0
        self.__epoch_began = self.__batch_ended = time.monotonic()

    def hook_after_batch(self) -> None:
        """Time the batch, and report progress at most once a second."""
        super().hook_after_batch()
        now = time.monotonic()
        self.__batch += 1
        self.__pace.batch_took(now - self.__batch_ended)
        self.__batch_ended = now
        if now - self.__batch_event_at >= SECONDS_BETWEEN_BATCH_EVENTS:
            self.__batch_event_at = now
            self.__report_batch(now - self.__epoch_began)

    def hook_after_epoch(self) -> None:
        """Report the epoch: metrics, rates, fitness, seconds, and metrics that are not finite."""
        super().hook_after_epoch()
        epoch = self.epoch + 1
        if lost := not_finite(self.__row):
            message = f"Not a finite number in epoch {epoch}: {', '.join(lost)}."
            self.run.pipe.emit(WarningEvent(code="metric_not_finite", message=message))
        scores = finite(_floats({"now": self.fitness, "best": self.best_fitness}))
        self.run.pipe.emit(
            EpochEvent(
                epoch=epoch,
                metrics=finite(self.__row),
                classes=None if self.class_columns is None else dict(self.class_columns),
                lr=finite(self.__rates()),
                fitness=scores.get("now"),
                best_fitness=scores.get("best"),
                seconds=round(self.epoch_time or 0.0, 3),
                optimizer_steps=self.__steps,
            )
        )

    def build_optimizer(self, model: Untyped, *arguments: Untyped, **options: Untyped) -> Untyped:
        """Name the optimizer's groups, unless `LayerRates` has already named them."""
        optimizer = super().build_optimizer(model, *arguments, **options)
        self.rate_names = self.rate_names or names_of(optimizer.param_groups)
        return optimizer

    def optimizer_step(self) -> None:
        """Count the step."""
        super().optimizer_step()
        self.__steps += 1

    def validate(self) -> tuple[dict[str, float] | None, float | None]:
        """Report the phases, and time the validation."""
        self.__enter(Phase.VALIDATING)
        began = time.monotonic()
        result = super().validate()
        self.__pace.validation_took(time.monotonic() - began)
        self.__enter(Phase.TRAINING)
        return result

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """Keep the epoch's row as results.csv rounds it."""
        super().save_metrics(metrics)
        self.__row = as_written(metrics)

    def __enter(self, phase: Phase) -> None:
        self.run.pipe.emit(PhaseEvent(phase=phase))

    def __report_batch(self, epoch_seconds: float) -> None:
        batches = len(self.train_loader)
        epochs_left = max(self.epochs - self.epoch - 1, 0)
        self.run.pipe.emit(
            BatchEvent(
                epoch=self.epoch + 1,
                batch=self.__batch,
                batches=batches,
                losses=finite(_floats(self.tloss or {})),
                epoch_seconds=round(epoch_seconds, 3),
                eta_seconds=self.__pace.eta_seconds(
                    batches_left=batches - self.__batch + batches * epochs_left,
                    validations_left=epochs_left + 1,
                ),
            )
        )

    def __rates(self) -> dict[str, float]:
        return {name: self.__row[f"lr/pg{place}"] for place, name in enumerate(self.rate_names)}


def _floats(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None}
