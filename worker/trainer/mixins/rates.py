"""Optimizer groups by name, and split by layer so that each part has a rate of its own."""

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
    """Return what the stock builder calls its groups; of another builder's, their places: pg0."""
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
        groups: as the stock builder made them.
        names: of the model's tensors by their `id`; what is not among them is in no layer.
        layer_lrs: as in the spec.
        backbone_layers: of the model.
    """
    factors = {part_name(each.layers): each.factor for each in layer_lrs} | {REST: 1.0}
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
