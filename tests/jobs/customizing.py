"""Draws customizations that fit a task, for property tests."""

from collections.abc import Collection, Sequence
from typing import Any

from hypothesis import strategies as st

from app.core.tasks import Task
from app.jobs.spec.metric_table import F1_METRICS, FITNESS, metrics_of

CLASSES = ("circle", "square", "triangle")
LAYERS = 10
"""Selectors stay below this: every shipped architecture has at least this many layers."""


def layers() -> st.SearchStrategy[Any]:
    indices = st.lists(st.integers(0, LAYERS - 1), min_size=1, max_size=4)
    return st.one_of(st.just("backbone"), st.integers(1, LAYERS - 1), indices)


def customizations(
    task: Task, classes: Sequence[str] = CLASSES, architecture: str | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    """Draw the JSON of a `customize` with any parts that a job of the task accepts."""
    metrics = metrics_of(task, architecture)
    has_classes = bool(F1_METRICS[task])
    parts: dict[str, st.SearchStrategy[Any]] = {
        "best_model": st.fixed_dictionaries({"metric": st.sampled_from(sorted(metrics))}),
        "keep_best": st.lists(_kept(metrics), max_size=3, unique_by=lambda each: each["name"]),
        "freeze": st.fixed_dictionaries(
            {"layers": layers()}, optional={"epochs": st.none() | st.integers(1, 5)}
        ),
        "layer_lrs": st.lists(
            st.fixed_dictionaries(
                {"layers": layers(), "factor": st.floats(0.001, 100, allow_nan=False)}
            ),
            max_size=3,
        ),
    }
    if has_classes:
        parts["metrics"] = st.fixed_dictionaries(
            {}, optional={"f1": st.booleans(), "per_class": st.booleans()}
        )
        parts["class_weights"] = _weights(task, classes)
    return st.fixed_dictionaries({}, optional=parts)


def _kept(metrics: Collection[str]) -> st.SearchStrategy[Any]:
    columns = st.sampled_from(sorted(set(metrics) - {FITNESS}))
    bounds = st.sampled_from([{"min": 0.1}, {"max": 0.9}, {"min": 0.1, "max": 0.9}])
    return st.fixed_dictionaries(
        {"name": st.sampled_from(["high_recall", "a", "b2"]), "metric": columns},
        optional={"where": st.dictionaries(columns, bounds, max_size=2)},
    )


def _weights(task: Task, classes: Sequence[str]) -> st.SearchStrategy[Any]:
    explicit = st.fixed_dictionaries(
        {
            "mode": st.just("explicit"),
            "weights": st.dictionaries(st.sampled_from(classes), st.floats(0.01, 100), min_size=1),
        }
    )
    inverse = st.fixed_dictionaries(
        {"mode": st.just("inverse_frequency")}, optional={"cap": st.none() | st.floats(1, 50)}
    )
    balanced = st.fixed_dictionaries(
        {"mode": st.just("balanced")}, optional={"power": st.floats(0.1, 1)}
    )
    return st.one_of(explicit, inverse, *([] if task == "classify" else [balanced]))
