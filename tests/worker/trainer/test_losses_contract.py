"""The validation losses in the table of metrics, compared with Ultralytics' criteria."""

from typing import Any

import pytest
from ultralytics.cfg import get_cfg
from ultralytics.models import YOLO

from app.jobs.spec.metric_table import metrics_of
from app.models.architectures import ARCHITECTURES

FAMILIES = ("yolo26n", "yolo11n", "yolov8n")
BOXES = [
    name
    for name, each in ARCHITECTURES.items()
    if name.startswith(FAMILIES) and each.task in {"detect", "segment", "pose", "obb"}
]


class TestLosses:
    @pytest.mark.parametrize("name", BOXES)
    def test_losses_of_a_task_are_those_of_the_architectures_criterion(self, name: str) -> None:
        model: Any = YOLO(name).model
        model.args = get_cfg()

        criterion = model.init_criterion()

        told = getattr(criterion, "one2one", criterion).loss_names
        offered = metrics_of(ARCHITECTURES[name].task, name)
        assert {f"val/{loss}" for loss in told} == {
            metric for metric in offered if metric.startswith("val/")
        }
