"""The generators that albumentations draws from, where it is installed: it has its own.

Ultralytics holds its transforms in a `Compose`, which it seeds from torch's seed as it is first
used (8.4.190, data/augment.py:2236). Each transform in it has a NumPy and a Python generator
(albumentations 2.0.8, core/transforms_interface.py).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from worker.trainer.state.generators import Plain, python_state, python_tuple


def augmentation_state(dataset: Any) -> list[Plain]:  # noqa: ANN401 -- any dataset of Ultralytics
    """Return the state of each transform of albumentations in a dataset, in their order."""
    return [
        {
            "seed": json.dumps(each.seed),
            "numpy": json.dumps(each.random_generator.bit_generator.state),  # numbers of 128 bits
            "python": python_state(each.py_random.getstate()),
        }
        for each in _drawing(getattr(dataset, "transforms", None))
    ]


def set_augmentation_state(dataset: Any, states: list[Mapping[str, Any]]) -> None:  # noqa: ANN401 -- as above
    """Let the transforms of a dataset go on from a state of `augmentation_state`."""
    transforms = _drawing(getattr(dataset, "transforms", None))
    for each, state in zip(transforms, states, strict=True):
        each.seed = json.loads(state["seed"])
        each.random_generator.bit_generator.state = json.loads(state["numpy"])
        each.py_random.setstate(python_tuple(state["python"]))


def _drawing(transform: Any) -> Iterator[Any]:  # noqa: ANN401 -- a tree of transforms of both
    if hasattr(transform, "random_generator") and hasattr(transform, "py_random"):
        yield transform
    inner = (getattr(transform, name, None) for name in ("pre_transform", "transform"))
    for part in (*inner, *(getattr(transform, "transforms", None) or ())):
        if part is not None and not isinstance(part, int | float | str | dict):
            yield from _drawing(part)
