"""Subclasses of Ultralytics' trainers as a user would write them, to compare ours with."""

from typing import Any

import numpy as np
from ultralytics.models.yolo.detect import DetectionTrainer


class Plain(DetectionTrainer):
    """A trainer without customizations."""


class ByHand(DetectionTrainer):
    """Adds F1 to the metrics, and chooses best.pt by the lowest class loss in validation."""

    best_fitness: Any
    validator: Any

    def validate(self) -> tuple[dict[str, float], float]:
        best_before = self.best_fitness
        metrics, _ = super().validate()  # type: ignore[no-untyped-call] # Ultralytics is untyped
        metrics["metrics/F1(B)"] = round(float(np.mean(self.validator.metrics.box.f1)), 5)
        fitness = -metrics["val/cls_loss"]
        self.best_fitness = fitness if best_before is None else max(best_before, fitness)
        return metrics, fitness
