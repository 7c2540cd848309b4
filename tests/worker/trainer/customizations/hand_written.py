"""Subclasses of Ultralytics' trainers as a user would write them, to compare ours with."""

from ultralytics.models.yolo.detect import DetectionTrainer


class Plain(DetectionTrainer):
    """Nothing customized."""
