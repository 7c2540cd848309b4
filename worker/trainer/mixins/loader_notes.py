"""Records the positions of loaders and optimizer that Ultralytics does not expose."""

from typing import Any

from worker.trainer.run import TrainerMixin
from worker.trainer.state.loader import RecordedLoader, RecordedOrder
from worker.trainer.upstream import Loader, Untyped


class LoaderNotes(TrainerMixin):
    """Records the position of the loaders and the batch of the last optimizer step.

    Overrides `get_dataloader` (after super), `preprocess_batch` (before super), `hook_before_epoch`
    and `hook_before_batch` (both before super), `optimizer_step` and `_handle_nan_recovery` (both
    after super). Draws no random number and changes no batch, so a training gives the same numbers
    with and without it.

    Ultralytics keeps the batch of the last optimizer step in a local variable of its loop that
    starts at -1 (8.4.190, trainer.py:476), and compares the distance from there with `accumulate`.
    After a resume we therefore raise `accumulate` by the distance from -1 to the real last step,
    until the next step: `ni - (-1) >= a + last + 1` is `ni - last >= a`. NaN recovery sets the
    variable to -1, too.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.last_step = -1
        self.__accumulate = 1
        self.__has_stepped = False
        self.__batch = -1
        super().__init__(overrides=overrides)

    @property
    def accumulate(self) -> int:
        """Batches from one optimizer step to the next, in the form that the loop needs."""
        return self.__accumulate + (0 if self.__has_stepped else self.last_step + 1)

    @accumulate.setter
    def accumulate(self, batches: int) -> None:
        self.__accumulate = batches

    def get_dataloader(self, *arguments: Untyped, **options: Untyped) -> Loader:
        """Record the loader's state, if the loader is Ultralytics' own."""
        loader = super().get_dataloader(*arguments, **options)
        if not RecordedOrder.is_known(loader):
            return loader
        if options.get("mode", "train") == "train":
            self.recorded_train_loader = RecordedLoader(loader)
        else:
            self.recorded_val_loader = RecordedOrder(loader)
        return loader

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Remove the state of the loader's worker from the batch and store it."""
        if self.recorded_train_loader is not None:
            self.recorded_train_loader.take(batch)
        return super().preprocess_batch(batch)

    def hook_before_epoch(self) -> None:
        """Start to count the epoch's batches."""
        self.__batch = -1
        super().hook_before_epoch()

    def hook_before_batch(self) -> None:
        """Count the batch."""
        self.__batch += 1
        super().hook_before_batch()

    def optimizer_step(self) -> None:
        """Record the batch of the optimizer's last step."""
        super().optimizer_step()
        self.last_step = self.__batch + len(self.train_loader) * self.epoch
        self.__has_stepped = True

    def _handle_nan_recovery(self, epoch: int) -> bool:
        """Reset the last step when the epoch is repeated, as Ultralytics does."""
        repeats = super()._handle_nan_recovery(epoch)
        if repeats:
            self.last_step = -1
        return repeats
