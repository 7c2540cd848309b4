"""Converts the random generators of a process to plain data and back."""

import random
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import torch

CPU: Final = torch.device("cpu")
Plain: TypeAlias = dict[str, Any]
"""Tensors, numbers, strings and containers of them, as `torch.load(weights_only=True)` reads."""


def random_state(device: torch.device = CPU) -> Plain:
    """Return the state of Python's, NumPy's and torch's generators, and of the GPU's own."""
    key = np.random.get_state(legacy=False)  # noqa: NPY002 -- the one that Ultralytics draws from
    return {
        "python": python_state(random.getstate()),
        "numpy": _numpy_state(key),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_random_state(state: Mapping[str, Any], device: torch.device = CPU) -> None:
    """Restore the generators from a state of `random_state`, on the same kind of device."""
    random.setstate(python_tuple(state["python"]))
    numpy = state["numpy"]
    key = {"key": numpy["key"].numpy().view(np.uint32), "pos": numpy["pos"]}
    rest = {"has_gauss": numpy["has_gauss"], "gauss": numpy["gauss"]}
    np.random.set_state({"bit_generator": "MT19937", "state": key, **rest})  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def python_state(state: tuple[Any, ...]) -> Plain:
    """Convert the result of `random.Random.getstate` to plain data, 5 kB instead of 600 objects."""
    version, key, gauss = state
    return {"version": version, "key": torch.tensor(key), "gauss": gauss}


def python_tuple(state: Mapping[str, Any]) -> tuple[Any, ...]:
    """Convert the plain data back to the argument of `random.Random.setstate`."""
    return state["version"], tuple(state["key"].tolist()), state["gauss"]


def _numpy_state(state: Mapping[str, Any]) -> Plain:
    # torch has no arithmetic on uint32, but stores the same bytes as int32.
    key = torch.from_numpy(state["state"]["key"].view(np.int32).copy())
    rest = {"has_gauss": int(state["has_gauss"]), "gauss": float(state["gauss"])}
    return {"key": key, "pos": int(state["state"]["pos"]), **rest}
