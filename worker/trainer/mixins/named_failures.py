"""Turns exceptions of Ultralytics into `TrainerError`s, by the method that raised them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from worker.trainer.errors import (
    BadCheckpoint,
    BadData,
    BadSpec,
    BadWeights,
    Diverged,
    TrainerError,
    is_out_of_memory,
)
from worker.trainer.protocol import WarningEvent
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import Loader, Untyped

MAX_OOM_RETRIES: Final = 3  # as in Ultralytics 8.4.190, trainer.py:577


class NamedFailures(TrainerMixin):
    """Turns exceptions of Ultralytics into errors with an end reason.

    Innermost of all mixins, so that each override wraps only the task trainer's own method.
    """

    def _model_train(self) -> None:
        """Prevent Ultralytics from halving the batch when memory runs out."""
        super()._model_train()
        # Called before the batches of every epoch. Ultralytics would silently halve the batch in
        # the first epoch, but the job's `on_oom` decides what happens when memory runs out. An
        # epoch that completes resets the count to 0, and no other code reads it.
        self._oom_retries = MAX_OOM_RETRIES

    def get_dataset(self) -> dict[str, Any]:
        """Raise `BadData` if the dataset is not valid."""
        with _named(BadData):
            return super().get_dataset()

    def get_dataloader(self, *arguments: Untyped, **options: Untyped) -> Loader:
        """Raise `BadData` if the loader cannot read the dataset."""
        with _named(BadData):
            return super().get_dataloader(*arguments, **options)

    def _build_train_pipeline(self) -> None:
        """Raise `BadSpec` if the batch size leaves a last batch of one image."""
        with _named(BadSpec, ValueError):  # "final batch=1 training", trainer.py:314
            super()._build_train_pipeline()

    def check_resume(self, overrides: dict[str, object]) -> None:
        """Raise `BadCheckpoint` if the checkpoint cannot be read."""
        with _named(BadCheckpoint):
            super().check_resume(overrides)

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Raise `BadCheckpoint` if the checkpoint does not fit the job."""
        with _named(BadCheckpoint):
            super().resume_training(ckpt)

    def setup_model(self) -> dict[str, Any] | None:
        """Raise `BadWeights`, or `BadCheckpoint` on a resume, if the model cannot be loaded."""
        if self.resume:
            with _named(BadCheckpoint):
                return super().setup_model()
        if self.run.job.model.kind != "weights":
            return super().setup_model()
        with _named(BadWeights):
            return super().setup_model()

    def get_model(
        self, cfg: Untyped = None, weights: Untyped = None, **options: Untyped
    ) -> Untyped:
        """Raise `BadWeights` if the weights are for another task."""
        if weights is not None and weights.task != self.run.job.task:
            raise BadWeights(
                f"{self.run.job.model.name} was trained for {weights.task}, "
                f"and the job's task is {self.run.job.task}."
            )
        return super().get_model(cfg=cfg, weights=weights, **options)

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Raise `Diverged` if the loss does not become finite, and report a repeated epoch."""
        with _named(Diverged, RuntimeError):
            repeated = super()._handle_nan_recovery(epoch)
        if repeated:
            message = (
                f"The loss was not finite: epoch {epoch + 1} starts again from the last checkpoint "
                f"(attempt {self.nan_recovery_attempts} of 3)."
            )
            self.run.pipe.emit(WarningEvent(code="nan_recovered", message=message))
        return repeated


@contextmanager
def _named(kind: type[TrainerError], caught: type[Exception] = Exception) -> Iterator[None]:
    try:
        yield
    except TrainerError:
        raise
    except caught as error:
        if is_out_of_memory(error):
            raise
        raise kind(str(error)) from error
