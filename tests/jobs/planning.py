"""Plans of jobs that need no database."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.jobs.plan.joint import PlannedJoint
from app.jobs.plan.plan import (
    Capacity,
    TrainingData,
    layers_of_model,
    learning_layers,
    plan_of,
)
from app.jobs.plan.views import StoredPlan
from app.jobs.spec.job_spec import JobSpec, SpecFacts, asked_of, resolve_spec
from app.jobs.spec.overriding import overridden

VERSION: Final = "dsv_" + "0" * 26
SHAPES: Final = TrainingData(
    classes=("circle", "square"),
    images={"train": 200, "val": 20, "test": 10},
    labels={
        "train": {"circle": 300, "square": 100},
        "val": {"circle": 30, "square": 10},
        "test": {"circle": 5, "square": 0},
    },
)
LIVE: Final = Capacity(has_live_slot=True, devices=("cpu",))
LONG: Final[dict[str, object]] = {"epochs": 20, "batch": 4, "nbs": 4, "optimizer": "SGD"}
"""Arguments that cause no warning."""


def facts_of(asked: JobSpec, data: TrainingData, architecture: str | None) -> SpecFacts:
    layers = layers_of_model(architecture, data, single_cls=asked.train.single_cls)
    return SpecFacts(
        dataset_version=VERSION,
        task=asked.task or "detect",
        classes=data.classes,
        class_counts=data.labels.get("train", {}),
        architecture=architecture,
        layers_with_parameters=learning_layers(layers),
        images=data.images,
        channels=data.channels,
        keypoints=data.keypoints,
    )


def planned(
    *,
    data: TrainingData = SHAPES,
    capacity: Capacity = LIVE,
    architecture: str | None = "yolo26n.yaml",
    train: Mapping[str, object] | None = None,
    customize: Mapping[str, object] | None = None,
    joint: PlannedJoint | None = None,
    **spec: Any,  # noqa: ANN401 -- as in JSON
) -> StoredPlan:
    """Return the plan of a detect job; `train` adds to arguments that raise no warning."""
    body = {
        "dataset": VERSION,
        "model": "yolo26n.yaml",
        "task": "detect",
        "train": LONG | dict(train or {}),
        "customize": customize,
        **spec,
    }
    asked = JobSpec.model_validate(body)
    facts = facts_of(asked, data, architecture)
    return plan_of(
        asked,
        resolve_spec(asked, facts),
        data,
        capacity,
        joint=joint,
        overridden=overridden(asked_of(asked, facts), asked.train),
    )


def with_labels(**labels: Mapping[str, int]) -> TrainingData:
    """Return the shapes with these counts of labels by split."""
    return replace(SHAPES, labels={**SHAPES.labels, **labels})


def codes(plan: StoredPlan) -> set[str]:
    """Return the codes of a plan's warnings."""
    return {warning.code for warning in plan.warnings}
