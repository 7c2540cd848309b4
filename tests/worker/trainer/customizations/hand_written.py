"""Subclasses of Ultralytics' trainers as a user would write them, to compare ours with."""

from typing import Any

import numpy as np
from ultralytics.models.yolo.detect import DetectionTrainer


class Plain(DetectionTrainer):
    """Nothing customized."""


class ByHand(DetectionTrainer):
    """F1 among the metrics, and the lowest validation loss of the classes chooses best.pt."""

    best_fitness: Any
    validator: Any

    def validate(self) -> tuple[dict[str, float], float]:
        best_before = self.best_fitness
        metrics, _ = super().validate()  # type: ignore[no-untyped-call] # Ultralytics is untyped
        metrics["metrics/F1(B)"] = round(float(np.mean(self.validator.metrics.box.f1)), 5)
        fitness = -metrics["val/cls_loss"]
        self.best_fitness = fitness if best_before is None else max(best_before, fitness)
        return metrics, fitness
