"""Further checkpoints, best_<name>.pt: the best epoch by a metric among those within bounds."""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.core.files import link_whole
from app.jobs.spec.customize import Bounds
from app.jobs.spec.customize import KeepBest as Asked
from worker.trainer.customizations.best_model import metric_in
from worker.trainer.mixins.results import Row, as_written, rows_of
from worker.trainer.protocol import NoticeEvent
from worker.trainer.run import Composed
from worker.trainer.upstream import calibrate_depth, strip


class KeepBest(Composed):
    """Keeps last.pt under another name whenever its epoch is the best of those that count.

    Overrides `save_metrics` (after super: the row as results.csv rounds it decides), `save_model`
    (after super: last.pt is written), `resume_training` (after super: the rows up to the checkpoint
    tell what was best, results.csv is trimmed by then) and `final_eval` (after super: copies are
    stripped beside those of best.pt). A kept file shares its bytes with the last.pt of its epoch.
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
        self.kept_files = {each.file_name: self.__keep(each) for each in self.__asked}
        return saved

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Read from results.csv which score is the best so far."""
        super().resume_training(ckpt)
        if self.run.job.resume_from is None:
            return
        rows = rows_of(self.csv)
        for each in self.__asked:
            best = best_of(rows, each)
            if best is not None and (self.wdir / each.file_name).exists():
                self.__best[each.name] = best

    def final_eval(self) -> None:
        """Copy and strip the kept checkpoints, or report that no epoch met the conditions."""
        super().final_eval()
        for each in self.__asked:
            file = self.wdir / each.file_name
            if file.exists():
                self.__finish(file)
            else:
                self.__say_unmet(each)

    def __keep(self, asked: Asked) -> bool:
        value = score(self.__row, asked)
        if value is None or value < self.__best.get(asked.name, -math.inf):
            return False
        self.__best[asked.name] = value
        link_whole(self.wdir / asked.file_name, self.last)
        return True

    def __finish(self, file: Path) -> None:
        copy = self.best.parent / file.name
        shutil.copyfile(file, copy)
        strip(copy)
        if self.run.job.task == "depth":
            calibrate_depth(copy, self.test_loader, self.device, self.data)

    def __say_unmet(self, asked: Asked) -> None:
        message = f"No epoch met the conditions of {asked.name} in keep_best; there is no file."
        data = asked.model_dump(mode="json")
        self.run.pipe.emit(NoticeEvent(code="keep_best_unmet", message=message, data=data))

    @property
    def __asked(self) -> tuple[Asked, ...]:
        return self.run.job.spec.customize.keep_best


def score(row: Row, asked: Asked) -> float | None:
    """Return what an epoch is worth, the higher the better; None: it does not count.

    Args:
        row: of results.csv.
        asked: metric, direction and bounds.

    Raises:
        BadSpec: a metric is not in the row.
    """
    by = f"{asked.name} in keep_best"
    within = all(
        _is_within(metric_in(row, metric, asked_by=by), bounds)
        for metric, bounds in asked.where.items()
    )
    value = metric_in(row, asked.metric, asked_by=by)
    if not within or not math.isfinite(value):
        return None
    return -value if asked.direction == "lower" else value


def best_of(rows: Iterable[Row], asked: Asked) -> float | None:
    """Return the highest score of the rows; None where none counts."""
    scores = (score(row, asked) for row in rows)
    return max((value for value in scores if value is not None), default=None)


def _is_within(value: float, bounds: Bounds) -> bool:
    """Tell whether the value lies within the bounds, ends included; NaN never does."""
    low = -math.inf if bounds.min is None else bounds.min
    high = math.inf if bounds.max is None else bounds.max
    return low <= value <= high
