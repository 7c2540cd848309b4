"""Keeps further checkpoints, best_<name>.pt: the best epoch by a metric within given bounds."""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.core.files import link_whole
from app.jobs.spec.customize import Bounds
from app.jobs.spec.customize import KeepBest as Choice
from worker.trainer.customizations.best_model import metric_in
from worker.trainer.mixins.results import Row, as_written, rows_of
from worker.trainer.protocol import NoticeEvent
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import calibrate_depth, strip


class KeepBest(TrainerMixin):
    """Keeps last.pt under another name whenever its epoch is the best within the bounds.

    Overrides `save_metrics` (after super; the values as results.csv rounds them decide),
    `save_model` (after super, when last.pt is written), `resume_training` (after super, when
    results.csv is already trimmed; the best score is read from the rows up to the checkpoint) and
    `final_eval` (after super; copies are stripped next to those of best.pt). A kept file shares its
    bytes with the last.pt of its epoch.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        self.__row: Row = {}
        self.__best: dict[str, float] = {}
        super().__init__(overrides=overrides)

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """Keep the epoch's row as results.csv rounds it."""
        super().save_metrics(metrics)
        self.__row = as_written(metrics)

    def save_model(self) -> bool:
        """Link last.pt as `best_<name>.pt` if its epoch is the best so far."""
        saved = super().save_model()
        self.kept_files = {choice.file_name: self.__keep(choice) for choice in self.__choices}
        return saved

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Read the best score so far from results.csv."""
        super().resume_training(ckpt)
        if self.run.job.resume_from is None:
            return
        rows = rows_of(self.csv)
        for choice in self.__choices:
            best = best_of(rows, choice)
            if best is not None and (self.wdir / choice.file_name).exists():
                self.__best[choice.name] = best

    def final_eval(self) -> None:
        """Copy and strip the kept checkpoints, or report that no epoch met the conditions."""
        super().final_eval()
        for choice in self.__choices:
            file = self.wdir / choice.file_name
            if file.exists():
                self.__finish(file)
            else:
                self.__report_unmet(choice)

    def __keep(self, choice: Choice) -> bool:
        value = score(self.__row, choice)
        if value is None or value < self.__best.get(choice.name, -math.inf):
            return False
        self.__best[choice.name] = value
        link_whole(self.wdir / choice.file_name, self.last)
        return True

    def __finish(self, file: Path) -> None:
        copy = self.best.parent / file.name
        shutil.copyfile(file, copy)
        strip(copy)
        if self.run.job.task == "depth":
            calibrate_depth(copy, self.test_loader, self.device, self.data)

    def __report_unmet(self, choice: Choice) -> None:
        message = f"No epoch met the conditions of {choice.name} in keep_best; there is no file."
        data = choice.model_dump(mode="json")
        self.run.pipe.emit(NoticeEvent(code="keep_best_unmet", message=message, data=data))

    @property
    def __choices(self) -> tuple[Choice, ...]:
        return self.run.job.spec.customize.keep_best


def score(row: Row, choice: Choice) -> float | None:
    """Return the score of an epoch, the higher the better; None if it is outside the bounds.

    A metric that is not finite also gives None.

    Args:
        row: A row of results.csv.
        choice: The metric, its direction and the bounds.

    Raises:
        BadSpec: A metric is not in the row.
    """
    user = f"{choice.name} in keep_best"
    within = all(
        _is_within(metric_in(row, metric, used_by=user), bounds)
        for metric, bounds in choice.where.items()
    )
    value = metric_in(row, choice.metric, used_by=user)
    if not within or not math.isfinite(value):
        return None
    return -value if choice.direction == "lower" else value


def best_of(rows: Iterable[Row], choice: Choice) -> float | None:
    """Return the highest score of the rows, or None if no row has a score."""
    scores = (score(row, choice) for row in rows)
    return max((value for value in scores if value is not None), default=None)


def _is_within(value: float, bounds: Bounds) -> bool:
    """Return whether the value is within the bounds, inclusive; NaN never is."""
    low = -math.inf if bounds.min is None else bounds.min
    high = math.inf if bounds.max is None else bounds.max
    return low <= value <= high
