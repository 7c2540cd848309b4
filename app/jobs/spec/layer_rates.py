"""The names of learning rates split by layer, `lr/<part>/<group>`, for server and trainer.

A group is one of the stock optimizer builder (Ultralytics 8.4.190, trainer.py:1189-1240): `weight`
(with decay), `norm` (its `bn`), `bias`, and for MuSGD `weight_muon` (its `muon`). MuSGD splits each
of these four in two: the half with three times the rate has the suffix `_x3` and comes first. So
its groups are weight_x3, weight, norm_x3, norm, bias_x3, bias, weight_muon_x3, weight_muon.

A part is a selector of `layer_lrs` as written, or `rest`. Each stock group, in stock order, is
split into its parts in the order of `part_order`; parts without a tensor are left out. Without
`layer_lrs` the stock groups are unchanged, empty ones included.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from app.jobs.spec.customize import LayerLr, layer_indices, part_name

REST: Final = "rest"
"""The part with all layers that no selector selects."""

_LABELS: Final = {"weight": "weight", "bn": "norm", "bias": "bias", "muon": "weight_muon"}
_LAYER: Final = re.compile(r"(?:^|\.)model\.(\d+)\.")


def group_label(param_group: Mapping[str, object], *, base_lr: float) -> str:
    """Return the name of one stock group: its kind, and `_x3` at three times the base rate.

    Args:
        param_group: a group of the stock builder, its rate not yet multiplied by a factor.
        base_lr: the rate that the builder was given or chose; see `base_rate`.

    Raises:
        KeyError: the group has no `param_group`, so the stock builder did not make it.
    """
    ratio = round(_rate_of(param_group) / base_lr, 6)
    suffix = "" if ratio == 1 else f"_x{ratio:g}"
    return _LABELS[str(param_group["param_group"])] + suffix


def base_rate(param_groups: Sequence[Mapping[str, object]]) -> float:
    """Return the rate that all stock groups share, except those that MuSGD raises."""
    return min(_rate_of(group) for group in param_groups)


def group_labels(param_groups: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the names of all stock groups in order; no two are equal."""
    base = base_rate(param_groups)
    return tuple(group_label(group, base_lr=base) for group in param_groups)


def rate_name(part: str, group: str) -> str:
    """Return the name of the rate of one part of a group, such as `lr/backbone/norm`."""
    return f"lr/{part}/{group}"


def part_order(layer_lrs: Sequence[LayerLr]) -> tuple[str, ...]:
    """Return the parts into which every group is split: selectors as written, then `rest`."""
    return (*dict.fromkeys(part_name(entry.layers) for entry in layer_lrs), REST)


def part_of(
    layer_index: int | None, layer_lrs: Sequence[LayerLr], backbone_layers: int
) -> tuple[str, float]:
    """Return a layer's part and factor; the last selector that selects the layer wins.

    Args:
        layer_index: index in the model, from 0; None for a tensor outside of the layers.
        layer_lrs: the entries of the spec.
        backbone_layers: number of backbone entries in the model's yaml.
    """
    for entry in reversed(layer_lrs):
        if layer_index in layer_indices(entry.layers, backbone_layers):
            return part_name(entry.layers), entry.factor
    return REST, 1.0


def layer_of(parameter_name: str) -> int | None:
    """Return the layer index in a tensor's name (`model.3.conv.weight`: 3)."""
    found = _LAYER.search(parameter_name)
    return None if found is None else int(found[1])


def _rate_of(param_group: Mapping[str, object]) -> float:
    rate = param_group["lr"]
    if not isinstance(rate, (int, float)):
        raise TypeError(f"The rate of a group must be a number, not {type(rate).__name__}.")
    return float(rate)
