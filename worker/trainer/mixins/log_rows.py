"""Writes the rows of the training log that Ultralytics' progress bars would show."""

from typing import Any

from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import Untyped, log_line


class LogRows(TrainerMixin):
    """Logs the losses of each epoch below their header, and a header above each validation's rows.

    Overrides `get_validator` and `preprocess_batch` (both after super) and `validate` (before
    super). Ultralytics logs the header of an epoch itself, but shows its losses, and the header of
    a validation, only as the texts of progress bars (8.4.190, trainer.py:618, validator.py:252).
    Bars are off, since each would write hundreds of lines. This class formats the losses as the
    last text of the bar: their means over the epoch, and the objects and size of the last batch.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.__last_batch = (0, 0)
        super().__init__(overrides=overrides)

    def get_validator(self) -> Untyped:
        """Make each validation begin with the header of its rows."""
        validator = super().get_validator()
        validator.add_callback("on_val_start", _log_header)
        return validator

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Keep the number of objects and the image size of the batch."""
        batch = super().preprocess_batch(batch)
        images = batch["img"]
        self.__last_batch = (batch.get("cls", images).shape[0], images.shape[-1])
        return batch

    def validate(self) -> tuple[dict[str, float] | None, float | None]:
        """Log the losses of the epoch."""
        losses = [] if self.tloss is None else [float(loss) for loss in self.tloss.values()]
        place = (f"{self.epoch + 1}/{self.epochs}", f"{self._get_memory():.3g}G")
        form = "%11s" * 2 + "%11.4g" * (len(losses) + 2)
        log_line(form % (*place, *losses, *self.__last_batch))
        return super().validate()


def _log_header(validator: Untyped) -> None:
    log_line(validator.get_desc())
