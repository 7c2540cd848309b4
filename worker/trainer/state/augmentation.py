"""The state of albumentations' own random generators, if the package is installed.

Ultralytics holds the transforms in a `Compose`, which it seeds from torch's seed on first use
(8.4.190, data/augment.py:2236). Each transform has a NumPy and a Python generator (albumentations
2.0.8, core/transforms_interface.py).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from worker.trainer.state.generators import Plain, python_state, python_tuple


def augmentation_state(dataset: Any) -> list[Plain]:  # noqa: ANN401 -- any dataset of Ultralytics
    """Return the state of each albumentations transform of a dataset, in their order."""
    return [
        {
            "seed": json.dumps(transform.seed),
            # JSON, because the numbers have 128 bits.
            "numpy": json.dumps(transform.random_generator.bit_generator.state),
            "python": python_state(transform.py_random.getstate()),
        }
        for transform in _drawing(getattr(dataset, "transforms", None))
    ]


def set_augmentation_state(dataset: Any, states: list[Mapping[str, Any]]) -> None:  # noqa: ANN401 -- as above
    """Restore the transforms of a dataset from the states of `augmentation_state`."""
    transforms = _drawing(getattr(dataset, "transforms", None))
    for transform, state in zip(transforms, states, strict=True):
        transform.seed = json.loads(state["seed"])
        transform.random_generator.bit_generator.state = json.loads(state["numpy"])
        transform.py_random.setstate(python_tuple(state["python"]))


def _drawing(transform: Any) -> Iterator[Any]:  # noqa: ANN401 -- transforms of both packages
    if hasattr(transform, "random_generator") and hasattr(transform, "py_random"):
        yield transform
    inner = (getattr(transform, name, None) for name in ("pre_transform", "transform"))
    for part in (*inner, *(getattr(transform, "transforms", None) or ())):
        if part is not None and not isinstance(part, int | float | str | dict):
            yield from _drawing(part)
