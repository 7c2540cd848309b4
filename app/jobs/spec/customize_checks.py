"""Checks of the customizations against the job's task, its classes and its model's layers."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from app.core.tasks import Task
from app.jobs.spec.base_model import SpecProblem
from app.jobs.spec.customize import (
    BalancedClassWeights,
    Customize,
    ExplicitClassWeights,
    Layers,
    layer_indices,
)
from app.jobs.spec.metric_table import FITNESS, direction_of, metrics_of
from app.models.architectures import Architecture

_SHOWN_NAMES: Final = 10
_NO_CLASSES: Final = "Depth estimation has no classes and therefore no {what}."
_ONE_CLASS: Final = '"single_cls" merges all classes into one, so there are no classes to compare.'

Place = tuple[str | int, ...]


def check_for_task(
    customize: Customize, task: Task, *, single_cls: bool, has_plugin: bool
) -> list[SpecProblem]:
    """Return a problem for everything that the task does not allow; `loc` is below `customize`.

    Args:
        customize: the customizations.
        task: the job's task.
        single_cls: whether all classes are treated as one.
        has_plugin: whether a trainer plugin may add its own metrics.
    """
    return [
        *_classless(customize, task),
        *_one_class(customize, single_cls=single_cls),
        *_weights_for_task(customize, task),
        *_metrics(customize, task, has_plugin=has_plugin),
    ]


def check_for_classes(
    customize: Customize, task: Task, classes: Sequence[str]
) -> list[SpecProblem]:
    """Return a problem for everything that does not fit the classes of the dataset."""
    weights = customize.class_weights
    if weights is None:
        return []
    if task == "semantic" and len(classes) == 1:
        message = "Ultralytics trains one semantic class without class weights."
        return [SpecProblem(("class_weights",), "one_class", message)]
    if not isinstance(weights, ExplicitClassWeights):
        return []
    present = frozenset(classes)
    known = ", ".join(classes[:_SHOWN_NAMES]) + (", …" if len(classes) > _SHOWN_NAMES else "")
    return [
        SpecProblem(
            ("class_weights", "weights", name),
            "unknown_class",
            f"The dataset has no class with this name. It has: {known}.",
        )
        for name in weights.weights
        if name not in present
    ]


def check_for_architecture(
    customize: Customize, architecture: Architecture, with_parameters: frozenset[int]
) -> list[SpecProblem]:
    """Return a problem for everything that does not fit the model's layers and losses.

    Args:
        customize: the customizations.
        architecture: the model's architecture.
        with_parameters: indices of the layers with trainable parameters.
    """
    return [
        *_layers_out_of_range(customize, architecture),
        *_everything_frozen(customize, architecture, with_parameters),
        *_losses_of_other_families(customize, architecture),
    ]


def _classless(customize: Customize, task: Task) -> Iterator[SpecProblem]:
    if task != "depth":
        return
    chosen = (
        ("f1", customize.metrics.f1, "F1"),
        ("per_class", customize.metrics.per_class, "table"),
    )
    for name, is_on, what in chosen:
        if is_on:
            message = _NO_CLASSES.format(what=what)
            yield SpecProblem(("metrics", name), "not_for_this_task", message)
    if customize.class_weights is not None:
        message = _NO_CLASSES.format(what="class weights")
        yield SpecProblem(("class_weights",), "not_for_this_task", message)


def _one_class(customize: Customize, *, single_cls: bool) -> Iterator[SpecProblem]:
    if single_cls and customize.class_weights is not None:
        yield SpecProblem(("class_weights",), "one_class", _ONE_CLASS)
    if single_cls and customize.metrics.per_class:
        yield SpecProblem(("metrics", "per_class"), "one_class", _ONE_CLASS)


def _weights_for_task(customize: Customize, task: Task) -> Iterator[SpecProblem]:
    if task == "classify" and isinstance(customize.class_weights, BalancedClassWeights):
        message = (
            "Ultralytics ignores balanced weights for classification; "
            'use "inverse_frequency" or "explicit".'
        )
        yield SpecProblem(("class_weights", "mode"), "not_for_this_task", message)


def _metrics(customize: Customize, task: Task, *, has_plugin: bool) -> Iterator[SpecProblem]:
    for place, (metric, direction) in customize.chosen_metrics().items():
        known = direction_of(task, metric)
        if _is_fitness_elsewhere(place, metric):
            yield SpecProblem(place, "unknown_metric", _unknown_metric(metric, task))
        elif known is not None and direction is not None and direction != known:
            message = f"For this metric {known} is better; omit the direction."
            yield SpecProblem((*place[:-1], "direction"), "known_direction", message)
        elif known is None and not has_plugin:
            yield SpecProblem(place, "unknown_metric", _unknown_metric(metric, task))
        elif known is None and direction is None and place[-1] == "metric":
            message = "Set the direction in which this metric is better: higher or lower."
            yield SpecProblem((*place[:-1], "direction"), "unknown_direction", message)


def _is_fitness_elsewhere(place: Place, metric: str) -> bool:
    """Fitness is not a column of results.csv: it can choose only best.pt."""
    return metric == FITNESS and place[0] != "best_model"


def _unknown_metric(metric: str, task: Task) -> str:
    names = [name for name in metrics_of(task) if name != metric]
    close = get_close_matches(metric, names, n=1, cutoff=0.5)
    guess = f'Did you mean "{close[0]}"? ' if close else ""
    return f"There is no such metric for {task}. {guess}Available: {', '.join(names)}."


def _layers_out_of_range(customize: Customize, architecture: Architecture) -> Iterator[SpecProblem]:
    for place, layers in customize.chosen_layers().items():
        if max(_indices(layers, architecture)) >= architecture.layers:
            message = (
                f"{architecture.name} has layers 0 to {architecture.layers - 1}; "
                f"its backbone is the first {architecture.backbone_layers}."
            )
            yield SpecProblem(place, "no_such_layer", message)


def _everything_frozen(
    customize: Customize, architecture: Architecture, with_parameters: frozenset[int]
) -> Iterator[SpecProblem]:
    if customize.freeze is None:
        return
    frozen = set(_indices(customize.freeze.layers, architecture))
    if max(frozen) < architecture.layers and with_parameters <= frozen:
        message = f"This freezes all layers of {architecture.name}: the model would learn nothing."
        yield SpecProblem(("freeze", "layers"), "everything_frozen", message)


def _losses_of_other_families(
    customize: Customize, architecture: Architecture
) -> Iterator[SpecProblem]:
    task = architecture.task
    here: Mapping[str, object] = metrics_of(task, architecture.name)
    for place, (metric, _) in customize.chosen_metrics().items():
        if metric not in here and metric in metrics_of(task):
            message = f"{architecture.name} has no such loss. Available: {', '.join(here)}."
            yield SpecProblem(place, "unknown_metric", message)


def _indices(layers: Layers, architecture: Architecture) -> tuple[int, ...]:
    return layer_indices(layers, architecture.backbone_layers)
