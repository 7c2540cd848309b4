"""Plots that cannot be drawn: a warning, and never the end of a training."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from worker.trainer.protocol import WarningEvent
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import DRAWN_BY_METRICS, Untyped, log_line

_DRAWN_BY_VALIDATORS: Final = ("plot_val_samples", "plot_predictions")


class PlotFailures(TrainerMixin):
    """Goes on without a plot that fails: names of classes and folders are a user's, and any text.

    Overrides `plot_metrics`, `plot_training_labels`, `plot_training_samples` and `get_validator`
    (all after super). Ultralytics draws its curves and matrices in the last validation, so that a
    name that a library cannot draw would cost the whole training (8.4.190, metrics.py:543, 675).
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.__failed: set[str] = set()
        for owner, name in DRAWN_BY_METRICS:
            setattr(owner, name, self.__guarded(getattr(owner, name), name))
        super().__init__(overrides=overrides)

    def plot_metrics(self) -> None:
        """Go on without the plot of results.csv."""
        with self.__going_on("plot_metrics"):
            super().plot_metrics()

    def plot_training_labels(self) -> None:
        """Go on without the plot of the labels."""
        with self.__going_on("plot_training_labels"):
            super().plot_training_labels()

    def plot_training_samples(self, batch: dict[str, Any], ni: int) -> None:
        """Go on without the plot of a batch."""
        with self.__going_on("plot_training_samples"):
            super().plot_training_samples(batch, ni)

    def get_validator(self) -> Untyped:
        """Let the validator go on without its plots of batches."""
        validator = super().get_validator()
        for name in _DRAWN_BY_VALIDATORS:
            setattr(validator, name, self.__guarded(getattr(validator, name), name))
        return validator

    def __guarded(self, draw: Callable[..., object], name: str) -> Callable[..., None]:
        draw = getattr(draw, "unguarded", draw)  # guarded before: a trainer is built twice

        def guarded(*arguments: object, **options: object) -> None:
            with self.__going_on(name):
                draw(*arguments, **options)

        guarded.unguarded = draw  # type: ignore[attr-defined]
        return guarded

    @contextmanager
    def __going_on(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- whatever a library raises over a name
            self.__warn(name, error)

    def __warn(self, name: str, error: Exception) -> None:
        log_line(f"WARNING {name} failed, and the training goes on: {error!r:.500}")
        if name in self.__failed:
            return
        self.__failed.add(name)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close("all")
        message = f"A plot could not be drawn ({name}): {type(error).__name__}."
        self.run.pipe.emit(WarningEvent(code="plot_failed", message=message))
