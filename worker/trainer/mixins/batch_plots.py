"""Hands over the plots of training batches, which a resumed training does not draw again."""

import threading
from pathlib import Path
from typing import Any

from worker.trainer.run import TrainerMixin


class BatchPlots(TrainerMixin):
    """Waits for the plots of an epoch's batches, so that they are handed over with its checkpoint.

    Overrides `plot_training_samples` and `hook_after_epoch` (both after super). Ultralytics draws
    three batches of the first epoch and three of the epoch that closes the mosaic (8.4.190,
    trainer.py:220, 491), each in a thread of its own, and writes `train_batch<N>.jpg`.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.__drawing: list[threading.Thread] = []
        self.__known: set[Path] = set()
        super().__init__(overrides=overrides)

    def plot_training_samples(self, batch: dict[str, Any], ni: int) -> None:
        """Remember the thread that draws the plot."""
        before = set(threading.enumerate())
        super().plot_training_samples(batch, ni)
        self.__drawing += [thread for thread in threading.enumerate() if thread not in before]

    def hook_after_epoch(self) -> None:
        """Wait for the plots of the epoch, and note them for its checkpoint."""
        super().hook_after_epoch()
        drawing, self.__drawing = self.__drawing, []
        for thread in drawing:
            thread.join()
        found = set(Path(self.save_dir).glob("train_batch*.jpg")) if drawing else set()
        self.new_plots = tuple(sorted(found - self.__known))
        self.__known |= found
