"""Typed wrappers of the Ultralytics functions that build models; those have no annotations."""

from collections.abc import Mapping
from typing import Any

from ultralytics.nn.tasks import DetectionModel, yaml_model_load


def model_yaml(name: str) -> dict[str, Any]:
    """Return the description of one of Ultralytics' own architectures."""
    return dict(yaml_model_load(name))  # type: ignore[no-untyped-call] # Ultralytics is untyped


def a_detection_model(
    config: str | Mapping[str, object] = "yolo26n.yaml", *, classes: int | None = None
) -> DetectionModel:
    """Build a detector with random weights; without `classes` it has as many as `config` says."""
    return DetectionModel(config, nc=classes, verbose=False)  # type: ignore[no-untyped-call] # Ultralytics is untyped
