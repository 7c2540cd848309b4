"""Times how long the training loop waits for its batches."""

import time

from worker.trainer.run import TrainerMixin


class LoaderWait(TrainerMixin):
    """Adds up the time from asking the loader for a batch until the batch is there.

    Overrides `_model_train` (after super), the last call before the loader is asked for the first
    batch (8.4.190, trainer.py:503), `hook_before_batch` (before super) and `hook_after_batch`
    (after super). As the outermost class its clock runs only between the hooks of all others, so it
    times nothing but the loader: also the restart of its workers when mosaic closes. It reads a
    clock twice per batch, and neither the batch nor a random number.

    On a GPU the loop waits for the loader while earlier batches are computed: the wait is no idle
    time of the GPU.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.__asked_at = time.monotonic()
        super().__init__(overrides=overrides)

    def _model_train(self) -> None:
        """Start the clock for the first batch of an epoch, also of a repeated one."""
        super()._model_train()
        self.loader_wait_seconds = 0.0
        self.__asked_at = time.monotonic()

    def hook_before_batch(self) -> None:
        """Stop the clock: the batch is there."""
        self.loader_wait_seconds += time.monotonic() - self.__asked_at
        super().hook_before_batch()

    def hook_after_batch(self) -> None:
        """Start the clock for the next batch."""
        super().hook_after_batch()
        self.__asked_at = time.monotonic()
