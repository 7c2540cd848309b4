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
from worker.trainer.state.sameness import environment_of
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
        self.__has_ended_an_epoch = False
        self.__epoch_began = self.__batch_ended = self.__batch_event_at = time.monotonic()
        self.__row: dict[str, float] = {}
        super().__init__(overrides=overrides)

    def hook_after_setup(self) -> None:
        """Report the start: batches, epochs, device, optimizer, images, environment."""
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
                environment=dict(environment_of(self.run.job)),
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
        self.__has_ended_an_epoch = True
        epoch = self.epoch + 1
        if lost := not_finite(self.__row):
            message = f"Not a finite number in epoch {epoch}: {', '.join(lost)}."
            self.run.pipe.emit(WarningEvent(code="metric_not_finite", message=message))
        scores = finite(_floats({"now": self.fitness, "best": self.best_fitness}))
        last_epoch = self.__last_epoch(at_least=epoch + 1)
        self.run.pipe.emit(
            EpochEvent(
                epoch=epoch,
                epochs=last_epoch,
                metrics=finite(self.__row),
                classes=None if self.class_columns is None else dict(self.class_columns),
                lr=finite(self.__rates()),
                fitness=scores.get("now"),
                best_fitness=scores.get("best"),
                seconds=round(self.epoch_time or 0.0, 3),
                loader_wait_seconds=round(self.loader_wait_seconds, 3),
                optimizer_steps=self.__steps,
                eta_seconds=self.__eta_seconds(last_epoch, batches=0, validations=0),
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
        last_epoch = self.__last_epoch(at_least=self.epoch + 1)
        self.run.pipe.emit(
            BatchEvent(
                epoch=self.epoch + 1,
                epochs=last_epoch,
                batch=self.__batch,
                batches=batches,
                losses=finite(_floats(self.tloss or {})),
                epoch_seconds=round(epoch_seconds, 3),
                eta_seconds=self.__eta_seconds(
                    last_epoch, batches=batches - self.__batch, validations=1
                )
                if self.__has_ended_an_epoch
                else None,  # no validation, and no warm disk cache, was measured yet
            )
        )

    def __last_epoch(self, *, at_least: int) -> int:
        """Return the last epoch as far as is known now.

        Args:
            at_least: The epoch that will be trained in any case, unless the training ends here.
                With a time budget Ultralytics estimates the last epoch after each one (8.4.190,
                trainer.py:680), and the estimate may be an epoch that is already over.
        """
        ends_here = self.stop or self.run.interrupts.stop_requested
        return self.epoch + 1 if ends_here else max(self.epochs, at_least)

    def __eta_seconds(self, last_epoch: int, *, batches: int, validations: int) -> float | None:
        """Return the time to the end of the last epoch; None if nothing is left.

        Args:
            last_epoch: The last epoch, from 1.
            batches: Batches that are left of the current epoch.
            validations: Validations that are left of the current epoch.
        """
        later = last_epoch - self.epoch - 1
        if not (later or validations):
            return None
        eta = self.__pace.eta_seconds(
            batches_left=batches + later * len(self.train_loader),
            validations_left=validations + later,
        )
        if eta is None or not self.args.time:
            return eta
        budget: float = self.args.time * 3600
        spent = time.time() - self.train_time_start
        return max(0.0, min(eta, budget - spent))

    def __rates(self) -> dict[str, float]:
        return {name: self.__row[f"lr/pg{place}"] for place, name in enumerate(self.rate_names)}


def _floats(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None}
