"""Adds F1 to the metrics of every epoch, and reports the metrics of each class."""

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.jobs.spec.metric_table import F1_METRICS
from worker.trainer.run import TrainerMixin
from worker.trainer.upstream import Untyped

Column: TypeAlias = list[float | None]
Columns: TypeAlias = dict[str, Column]

DIGITS: Final = 5
"""Decimal digits of an epoch's metrics, as Ultralytics rounds its own (validator.py:303)."""

_PARTS: Final = {"B": "box", "M": "seg", "P": "pose"}
_OF_BOXES: Final = {"precision": "p", "recall": "r", "f1": "f1", "ap50": "ap50", "ap50_95": "ap"}


class ClassMetrics(TrainerMixin):
    """Adds F1 to the metrics, and the columns by class to the epoch's event.

    Overrides `validate` and `final_eval`, both after super: the trainer runs its validator in both,
    and the validator still holds its counts. The keys are the same in every epoch, since
    results.csv gets its header once (trainer.py:993). Keeps no state, so a resume needs none.
    """

    def validate(self) -> tuple[dict[str, float] | None, float | None]:
        """Add F1 to the epoch's metrics, and keep the metrics of each class."""
        metrics, fitness = super().validate()
        if metrics is None:
            return None, fitness
        if self.run.job.spec.customize.metrics.per_class:
            columns = class_columns(self.validator, classes=self.__classes())
            self.class_columns = {name: _rounded(column) for name, column in columns.items()}
        return metrics | {name: round(f1, DIGITS) for name, f1 in self.__f1().items()}, fitness

    def final_eval(self) -> None:
        """Add F1 to the final metrics."""
        super().final_eval()
        self.metrics = self.metrics | self.__f1()

    def __f1(self) -> dict[str, float]:
        if not self.run.job.spec.customize.metrics.f1:
            return {}
        return mean_f1(self.validator, F1_METRICS[self.run.job.task], classes=self.__classes())

    def __classes(self) -> int:
        """Return the number of classes of the dataset.

        For polygons, Ultralytics adds a background class at the end (data/utils.py:1026). With a
        single class it sets the background's index to 0 and adds no class.
        """
        return int(self.data.get("bg_class_idx") or len(self.data["names"]))


def mean_f1(validator: Untyped, names: Sequence[str], *, classes: int) -> dict[str, float]:
    """Return the mean F1 over the classes with ground truth, by metric name; 0 without any.

    A class that the model misses completely counts as 0.

    Args:
        validator: The validator of any task with classes, after it has validated.
        names: `metrics/F1(B)` and so on, or `metrics/F1`.
        classes: The number of classes of the dataset.
    """
    columns = class_columns(validator, classes=classes)
    return {name: _mean(columns[name.replace("metrics/F1", "f1")]) for name in names}


def class_columns(validator: Untyped, *, classes: int) -> Columns:
    """Return one value per class for each metric; None if the class has no ground truth.

    Boxes, masks and key points: precision, recall and F1 = 2PR / (P + R) at an IoU (or OKS) of 0.5
    and at the one confidence, common to all classes, where the smoothed mean F1 is highest
    (metrics.py: ap_per_class). Classify: precision, recall and F1 of the most likely class, from
    the confusion matrix. Semantic: the same for pixels, where F1 = 2 IoU / (1 + IoU).

    Args:
        validator: The validator of any task with classes, after it has validated.
        classes: The number of classes of the dataset; classes that Ultralytics adds are left out.
    """
    if hasattr(validator.metrics, "box"):
        return _of_boxes(validator.metrics, classes)
    matrix = np.asarray(validator.confusion_matrix.matrix, dtype=np.float64)
    return _of_confusion(matrix, classes, has_iou=hasattr(validator.metrics, "per_class_iou"))


def _of_boxes(metrics: Untyped, classes: int) -> Columns:
    return {
        f"{column}({part})": _by_class(
            getattr(getattr(metrics, attribute), values), metrics.ap_class_index, classes
        )
        for part, attribute in _PARTS.items()
        if hasattr(metrics, attribute)
        for column, values in _OF_BOXES.items()
    }


def _by_class(values: Sequence[float], indices: Sequence[int], classes: int) -> Column:
    by_index = {int(index): float(value) for index, value in zip(indices, values, strict=True)}
    return [by_index.get(index) for index in range(classes)]


def _of_confusion(matrix: NDArray[np.float64], classes: int, *, has_iou: bool) -> Columns:
    """Return the columns from a confusion matrix with predictions as rows and truths as columns.

    Ultralytics counts a single semantic class as the second of two, after an implied background.
    """
    hits, predicted, true = np.diagonal(matrix), matrix.sum(1), matrix.sum(0)
    shares = {
        "precision": _share(hits, predicted),
        "recall": _share(hits, true),
        "f1": _share(2 * hits, predicted + true),
    }
    if has_iou:
        shares["iou"] = _share(hits, predicted + true - hits)
    first = 1 if classes == 1 and len(matrix) == 2 else 0  # noqa: PLR2004 - see the docstring
    indices = range(first, first + classes)
    return {
        name: [float(share[index]) if true[index] > 0 else None for index in indices]
        for name, share in shares.items()
    }


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _mean(column: Column) -> float:
    present = [value for value in column if value is not None]
    return sum(present) / len(present) if present else 0.0


def _rounded(column: Column) -> Column:
    return [
        None if value is None or not math.isfinite(value) else round(value, DIGITS)
        for value in column
    ]
