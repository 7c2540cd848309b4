"""The class weights that are computed from a dataset, as `customize.class_weights` names them."""

from collections.abc import Mapping, Sequence


def inverse_frequency(
    counts: Mapping[str, int], classes: Sequence[str], *, cap: float | None
) -> dict[str, float]:
    """Return max(count) / count for each class, at most `cap`; 1.0 for an absent class."""
    present = [counts[name] for name in classes if counts.get(name, 0) > 0]
    most = max(present, default=1)
    weights = {name: most / counts[name] if counts.get(name, 0) > 0 else 1.0 for name in classes}
    return {name: weight if cap is None else min(weight, cap) for name, weight in weights.items()}


def balanced_weights(counts: Mapping[str, int], power: float) -> dict[str, float] | None:
    """Return Ultralytics' own class weights, or None without any label.

    (1 / count) ** power; an absent class gets the mean of the others; all are scaled to a mean of 1
    (Ultralytics 8.4.190, models/yolo/detect/train.py:156-176).
    """
    present = {name: (1 / count) ** power for name, count in counts.items() if count}
    if not present:
        return None
    usual = sum(present.values()) / len(present)
    weights = {name: present.get(name, usual) for name in counts}
    mean = sum(weights.values()) / len(weights)
    return {name: weight / mean for name, weight in weights.items()}
