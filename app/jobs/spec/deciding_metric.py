"""The metric that decides which epoch is the best, computed from the columns of results.csv.

It is the metric that the job chose, or else Ultralytics' fitness of the task.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.core.tasks import Task
from app.jobs.spec.job_spec import ResolvedSpec
from app.jobs.spec.metric_table import FITNESS, Direction, direction_of

_BOXES: Final = "metrics/mAP50-95(B)"


@dataclass(frozen=True)
class DecidingMetric:
    """The metric's name and direction, the columns that are summed, and a factor on the sum."""

    name: str
    columns: tuple[str, ...]
    factor: float = 1.0
    direction: Direction = "higher"

    def value_of(self, metrics: Mapping[str, float | None]) -> float | None:
        """Return the value of an epoch; None if a column is missing or not finite."""
        values = [metrics.get(column) for column in self.columns]
        present = [value for value in values if value is not None]
        return sum(present) * self.factor if len(present) == len(values) else None

    def rank_of(self, value: float | None) -> float | None:
        """Return the value for comparisons between jobs: a higher rank is better."""
        return -value if value is not None and self.direction == "lower" else value


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
"""The definitions of Ultralytics 8.4.190 (utils/metrics.py: Metric.fitness and properties of that
name): a sum of columns, or for classification their mean."""


def deciding_metric(spec: ResolvedSpec) -> DecidingMetric:
    """Return the metric that decides a job's best epoch: its `customize.best_model.metric`.

    Only a trainer plugin's own metric has a direction in the spec; for the others it is known.
    """
    chosen = spec.customize.best_model
    if chosen is None or chosen.metric == FITNESS:
        return FITNESS_OF[spec.task]
    direction = direction_of(spec.task, chosen.metric) or chosen.direction or "higher"
    return DecidingMetric(chosen.metric, (chosen.metric,), direction=direction)
