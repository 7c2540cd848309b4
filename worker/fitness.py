"""The number that decides which epoch is the best, for each task, from the columns of results.csv.

These are Ultralytics 8.4.190's own fitness definitions (utils/metrics.py: Metric.fitness and the
properties of that name): a sum of columns, or for classification their mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.jobs.spec import Task


@dataclass(frozen=True)
class DecidingMetric:
    """The columns that are summed, and what the sum is multiplied by."""

    columns: tuple[str, ...]
    factor: float = 1.0

    @property
    def name(self) -> str:
        """The column's name where there is one alone, else `fitness`."""
        return self.columns[0] if len(self.columns) == 1 else "fitness"

    def value_of(self, metrics: Mapping[str, float | None]) -> float | None:
        """Return the value of an epoch; None where a column is missing or not finite."""
        values = [metrics.get(column) for column in self.columns]
        present = [value for value in values if value is not None]
        return sum(present) * self.factor if len(present) == len(values) else None


_BOXES = "metrics/mAP50-95(B)"

DECIDING_METRICS: dict[Task, DecidingMetric] = {
    "detect": DecidingMetric((_BOXES,)),
    "obb": DecidingMetric((_BOXES,)),
    "segment": DecidingMetric((_BOXES, "metrics/mAP50-95(M)")),
    "pose": DecidingMetric((_BOXES, "metrics/mAP50-95(P)")),
    "classify": DecidingMetric(("metrics/accuracy_top1", "metrics/accuracy_top5"), factor=0.5),
    "semantic": DecidingMetric(("metrics/mIoU",)),
    "depth": DecidingMetric(("metrics/delta1",)),
}
