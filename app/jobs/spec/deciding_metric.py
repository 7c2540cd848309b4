"""The number that decides which epoch is the best, from the columns of results.csv.

It is the metric that the job chose, as it is, or Ultralytics' own fitness of the task.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.core.tasks import Task
from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.spec.metric_table import FITNESS

_BOXES: Final = "metrics/mAP50-95(B)"


@dataclass(frozen=True)
class DecidingMetric:
    """What the best is named after; the columns that are summed, and the sum's factor."""

    name: str
    columns: tuple[str, ...]
    factor: float = 1.0

    def value_of(self, metrics: Mapping[str, float | None]) -> float | None:
        """Return the value of an epoch; None where a column is missing or not finite."""
        values = [metrics.get(column) for column in self.columns]
        present = [value for value in values if value is not None]
        return sum(present) * self.factor if len(present) == len(values) else None


FITNESS_OF: Final[dict[Task, DecidingMetric]] = {
    "detect": DecidingMetric(FITNESS, (_BOXES,)),
    "obb": DecidingMetric(FITNESS, (_BOXES,)),
    "segment": DecidingMetric(FITNESS, (_BOXES, "metrics/mAP50-95(M)")),
    "pose": DecidingMetric(FITNESS, (_BOXES, "metrics/mAP50-95(P)")),
    "classify": DecidingMetric(
        FITNESS, ("metrics/accuracy_top1", "metrics/accuracy_top5"), factor=0.5
    ),
    "semantic": DecidingMetric(FITNESS, ("metrics/mIoU",)),
    "depth": DecidingMetric(FITNESS, ("metrics/delta1",)),
}
"""Ultralytics 8.4.190's definitions (utils/metrics.py: Metric.fitness and properties of that name):
a sum of columns, or for classification their mean."""


def deciding_metric(spec: ResolvedSpec) -> DecidingMetric:
    """Return what decides which epoch of a job is the best: its `customize.best_model.metric`.

    Which way is better is the trainer's business: it says of each epoch whether it is the best.
    """
    chosen = spec.customize.best_model
    if chosen is None or chosen.metric == FITNESS:
        return FITNESS_OF[spec.task]
    return DecidingMetric(chosen.metric, (chosen.metric,))
