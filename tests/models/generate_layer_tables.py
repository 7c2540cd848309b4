"""Write app/models/layer_tables.json from the installed Ultralytics; run it after an upgrade.

    python -m tests.models.generate_layer_tables

The generator builds each model without storage for several numbers of classes, keypoints and
channels. Each side of a tensor must then be fixed, or max(least, size) of one of the sizes that
`app.models.layer_tables` knows. Any other side stops the generator.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import ultralytics
from torch import nn
from ultralytics.nn.tasks import parse_model

from app.models.architectures import ARCHITECTURES
from app.models.layer_tables import LayerRow, TensorCount, TensorKind, sizes_of
from tests.ultralytics_models import model_yaml

WRITES = Path(__file__).parents[2] / "app" / "models" / "layer_tables.json"
CLASSES = (2, 3, 64, 65, 80, 99, 100, 101, 150, 1000)
CHANNELS = (3, 4)
KEYPOINTS = ((1, 3), (5, 2), (17, 3), (21, 2), (33, 3), (100, 3), (300, 2))
NORMS = tuple(value for name, value in nn.__dict__.items() if "Norm" in name)

Shapes = dict[str, tuple[int, ...]]
Point = tuple[int, tuple[int, int], int]
SMALLEST: Point = (1, (1, 2), 1)


def named_tensors(model: nn.Module) -> dict[str, tuple[TensorKind, tuple[int, ...]]]:
    """Return kind and shape of every parameter, sorted into kinds as build_optimizer does."""
    layers: Any = model.model
    head = layers[-1]
    branches = (getattr(head, "cv3", None), getattr(head, "one2one_cv3", None))
    raised = {id(p) for branch in branches if branch for p in branch.parameters()}
    found = {}
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            full = f"{module_name}.{name}"
            is_norm = isinstance(module, NORMS) or "logit_scale" in full
            found[full] = (
                TensorKind(
                    "bias" if "bias" in full else "norm" if is_norm else "weight",
                    muon=parameter.ndim in {2, 4},
                    raised=id(parameter) in raised or "proto.semseg" in full,
                    fixed=".dfl" in full,
                ),
                tuple(parameter.shape),
            )
    return found


def rows_of(model: nn.Module) -> tuple[LayerRow, ...]:
    """Return the layer table of a real model, for comparison."""
    tensors = named_tensors(model)
    layers: Any = model.model
    return tuple(
        LayerRow(index, layer.type.rpartition(".")[2], _counted(tensors, f"model.{index}."))
        for index, layer in enumerate(layers)
    )


def generate() -> dict[str, Any]:
    """Return the content of the whole file."""
    layers: dict[str, int] = {}
    architectures = {}
    for name in ARCHITECTURES:
        rows = [json.dumps(row, sort_keys=True) for row in _layers(name)]
        architectures[name] = [layers.setdefault(row, len(layers)) for row in rows]
    return {
        "ultralytics": ultralytics.__version__,
        "layers": [json.loads(row) for row in layers],
        "architectures": architectures,
    }


class Parsed(nn.Module):
    """The layers of a model without storage, with the names that they have in a whole model."""

    def __init__(
        self, name: str, classes: int, keypoints: tuple[int, int] = (17, 3), channels: int = 3
    ) -> None:
        super().__init__()
        yaml = model_yaml(name) | {"nc": classes}
        if "kpt_shape" in yaml:
            yaml["kpt_shape"] = list(keypoints)
        with torch.device("meta"):
            self.model, _ = parse_model(yaml, ch=channels, verbose=False)  # type: ignore[no-untyped-call] # Ultralytics is untyped


def _layers(name: str) -> Iterator[dict[str, Any]]:
    points = list(_points(name))
    built = [Parsed(name, *point) for point in points]
    shapes = [{full: shape for full, (_, shape) in named_tensors(each).items()} for each in built]
    tensors = named_tensors(built[0])
    for index, layer in enumerate(built[0].model):
        groups: dict[TensorKind, list[list[Any]]] = {}
        for full, (kind, _) in tensors.items():
            if full.startswith(f"model.{index}."):
                groups.setdefault(kind, []).append(_term(full, shapes, points))
        yield {
            "module": layer.type.rpartition(".")[2],
            "tensors": [_group(kind, terms) for kind, terms in sorted_groups(groups)],
        }


def _points(name: str) -> Iterator[Point]:
    """Yield the smallest dataset first, then others that differ from it in one size each."""
    least_classes, least_keypoints, least_channels = SMALLEST
    yield SMALLEST
    yield from ((classes, least_keypoints, least_channels) for classes in CLASSES)
    yield from ((least_classes, least_keypoints, channels) for channels in CHANNELS)
    if ARCHITECTURES[name].task == "pose":
        yield from ((least_classes, keypoints, least_channels) for keypoints in KEYPOINTS)


def sorted_groups(groups: dict[TensorKind, Any]) -> list[tuple[TensorKind, Any]]:
    """Return the groups in the same order for every model."""
    return sorted(
        groups.items(),
        key=lambda item: (item[0].kind, item[0].muon, item[0].raised, item[0].fixed),
    )


def _term(full: str, shapes: Sequence[Shapes], points: Sequence[Point]) -> list[Any]:
    """Return [coefficient, [least, size], …] of one tensor."""
    sides = list(zip(*(each[full] for each in shapes), strict=True))
    fixed = math.prod(side[0] for side in sides if len(set(side)) == 1)
    return [fixed, *(_side(full, side, points) for side in sides if len(set(side)) > 1)]


def _side(full: str, side: tuple[int, ...], points: Sequence[Point]) -> list[Any]:
    least = min(side)
    sizes = [sizes_of(*point) for point in points]
    for size in sizes[0]:
        if all(max(least, at[size]) == value for at, value in zip(sizes, side, strict=True)):
            return [least, size]
    raise ValueError(f"{full} has the sides {side} at {points}: no known size explains them.")


def _group(kind: TensorKind, terms: list[list[Any]]) -> dict[str, Any]:
    varying: dict[str, int] = {}
    for coefficient, *factors in terms:
        if factors:
            key = json.dumps(factors)
            varying[key] = varying.get(key, 0) + coefficient
    flags = {name: True for name in ("muon", "raised", "fixed") if getattr(kind, name)}
    group = {
        "kind": kind.kind,
        **flags,
        "tensors": len(terms),
        "elements": sum(term[0] for term in terms if len(term) == 1),
    }
    rows = [[coefficient, *json.loads(key)] for key, coefficient in varying.items()]
    return {**group, "terms": rows} if rows else group


def _counted(
    tensors: dict[str, tuple[TensorKind, tuple[int, ...]]], prefix: str
) -> tuple[TensorCount, ...]:
    groups: dict[TensorKind, list[int]] = {}
    for full, (kind, shape) in tensors.items():
        if full.startswith(prefix):
            groups.setdefault(kind, []).append(math.prod(shape))
    return tuple(
        TensorCount(kind, len(elements), sum(elements)) for kind, elements in sorted_groups(groups)
    )


def written(tables: dict[str, Any]) -> str:
    """Return the file's text, with one line per layer and one line per architecture."""
    layers = ",\n".join(json.dumps(row) for row in tables["layers"])
    names = ",\n".join(f'"{name}": {rows}' for name, rows in tables["architectures"].items())
    return (
        f'{{"ultralytics": "{tables["ultralytics"]}",\n"layers": [\n{layers}\n],\n'
        f'"architectures": {{\n{names}\n}}}}\n'
    )


if __name__ == "__main__":
    WRITES.write_text(written(generate()))
