"""Turns exceptions of Ultralytics into `TrainerError`s, by the method that raised them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from worker.trainer.errors import (
    BadCheckpoint,
    BadSpec,
    BadWeights,
    Diverged,
    TrainerError,
    is_out_of_memory,
)
from worker.trainer.protocol import WarningEvent
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import Untyped, computes_in_bfloat16, device_name

MAX_OOM_RETRIES: Final = 3  # as in Ultralytics 8.4.190, trainer.py:577
NO_LABELS: Final = "No labels found in"  # data/dataset.py:161
TASKS_WITH_LABELS: Final = frozenset({"detect", "segment", "pose", "obb", "semantic"})


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

    def build_dataset(self, *arguments: Untyped, **options: Untyped) -> Untyped:
        """Raise `BadSpec` if none of the training images that `fraction` selects has an object.

        The server refuses such a job, unless an earlier release verified the dataset.
        """
        message = (
            f"None of the training images that fraction={self.args.fraction} selects, the first "
            "ones by name, has an object: use more of them."
        )
        try:
            dataset = super().build_dataset(*arguments, **options)
        except ValueError as error:
            if NO_LABELS in str(error) and self.args.fraction != 1:
                raise BadSpec(message) from error
            raise
        if self.args.fraction != 1 and self.__has_only_backgrounds(dataset):
            raise BadSpec(message)
        return dataset

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
        """Raise `BadWeights`, or `BadCheckpoint` on a resume, if the model cannot be loaded.

        The first method of the setup, so it also raises `BadSpec` if the device cannot compute in
        bfloat16.
        """
        if self.args.amp == "bf16" and not computes_in_bfloat16(self.device):
            name = device_name(self.device)
            raise BadSpec(f'The device, {name}, cannot train in "bf16": set "amp" to true.')
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

    def __has_only_backgrounds(self, dataset: Untyped) -> bool:
        """Return whether training images have label files, all without an object."""
        job = self.run.job
        if job.task not in TASKS_WITH_LABELS or self.data.get("masks_dir") or job.spec.trainer:
            return False
        return dataset.augment and not any(len(label["cls"]) for label in dataset.labels)

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
