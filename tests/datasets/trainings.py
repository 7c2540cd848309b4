"""Trainings by plain Ultralytics in the oracle's process, with models that are small and quick."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from app.core.tasks import Task
from tests.datasets.oracle import Oracle

CONVOLUTION: Final = [-1, 1, "Conv", [8, 3, 2]]
LEVELS: Final = [2, 3, 4]
HEADS: Final[dict[Task, list[Any]]] = {
    "detect": [LEVELS, 1, "Detect", ["nc"]],
    "segment": [LEVELS, 1, "Segment26", ["nc", 8, 16]],
    "pose": [LEVELS, 1, "Pose26", ["nc", "kpt_shape"]],
    "obb": [LEVELS, 1, "OBB26", ["nc", 1]],
    "classify": [-1, 1, "Classify", ["nc"]],
    "semantic": [LEVELS[:2], 1, "SemanticSegment", ["nc"]],
    "depth": [LEVELS, 1, "Depth", [16]],
}
"""The heads of the yolo26 models (Ultralytics 8.4.190, cfg/models/26), on five convolutions."""

ARGUMENTS: Final = {"epochs": 1, "imgsz": 32, "batch": 16}


@dataclass(frozen=True)
class Trained:
    """What a training read and measured: images by split, and the values of each epoch."""

    images: dict[str, int]
    epochs: list[dict[str, float]] = field(repr=False)


def a_model(folder: Path, task: Task) -> Path:
    """Write the architecture of a small model for a task."""
    content = {
        "nc": 80,
        "end2end": True,
        "reg_max": 1,
        "kpt_shape": [17, 3],
        "backbone": [CONVOLUTION] * 5,
        "head": [HEADS[task]],
    }
    path = folder / f"small-{task}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def train(oracle: Oracle, task: Task, data: Path, folder: Path, **arguments: object) -> Trained:
    """Train on `data`, the data.yaml or the folder of classes; what it writes is in `folder`."""
    given = {**ARGUMENTS, **arguments}
    return Trained(**oracle.ask("train", task, a_model(folder, task), data, folder, given))
