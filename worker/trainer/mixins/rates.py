"""Names the optimizer's groups, and splits them by layer so that each part has its own rate."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.jobs.spec.customize import LayerLr, part_name
from app.jobs.spec.layer_rates import REST, group_labels, layer_of, part_of, part_order, rate_name

Group = dict[str, Any]
"""A parameter group of a torch optimizer: `params`, `lr` and the rest of its options."""


def names_of(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the rate names of groups that are not split by layer."""
    return tuple(rate_name(REST, label) for label in labels_of(groups))


def labels_of(groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the stock builder's labels; groups of another builder get their index: pg0."""
    try:
        labels = group_labels(groups)
    except KeyError:
        labels = ()
    if len(set(labels)) == len(groups):
        return labels
    return tuple(f"pg{place}" for place in range(len(groups)))


def split_by_layer(
    groups: Sequence[Group],
    names: Mapping[int, str],
    *,
    layer_lrs: Sequence[LayerLr],
    backbone_layers: int,
) -> Iterator[tuple[str, Group]]:
    """Yield the rate name and the options of each part of each group; empty parts are left out.

    Args:
        groups: The groups of the stock builder.
        names: Names of the model's tensors by `id`; a tensor without a name belongs to no layer.
        layer_lrs: The factors from the spec.
        backbone_layers: The number of backbone layers of the model.
    """
    factors = {part_name(layer_lr.layers): layer_lr.factor for layer_lr in layer_lrs} | {REST: 1.0}
    layers = {tensor: layer_of(name) for tensor, name in names.items()}
    parts = {layer: part_of(layer, layer_lrs, backbone_layers)[0] for layer in layers.values()}
    for label, group in zip(labels_of(groups), groups, strict=True):
        tensors: dict[str, list[Any]] = {part: [] for part in part_order(layer_lrs)}
        for tensor in group["params"]:
            tensors[parts.get(layers.get(id(tensor)), REST)].append(tensor)
        for part, members in tensors.items():
            if members:
                rate = group["lr"] * factors[part]
                yield rate_name(part, label), {**group, "params": members, "lr": rate}
