"""What a training state is made of: each part is read from a trainer and put into another one.

Every part is needed: `tests/worker/trainer/state/test_parts.py` shows for each a training that
goes on differently without it. What no training needs is not kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from ultralytics.utils.torch_utils import unwrap_model

from worker.trainer.plugins.interface import brings_its_state
from worker.trainer.state.generators import Plain, random_state, set_random_state
from worker.trainer.upstream import Unseen


@dataclass(frozen=True)
class Part:
    """A part of the state.

    Args:
        name: its key.
        read: returns it as plain data, at the end of an epoch.
        put: sets it in a trainer that was built for the same job.
    """

    name: str
    read: Callable[[Unseen], Any]
    put: Callable[[Unseen, Any], None]


def parts_of(trainer: Unseen) -> Plain:
    """Return all parts of a trainer's state at the end of an epoch."""
    return {part.name: part.read(trainer) for part in (*AT_SETUP, *AT_FIRST_EPOCH)}


def put_parts(parts: tuple[Part, ...], trainer: Unseen, state: Mapping[str, Any]) -> None:
    """Put parts of a state into a trainer."""
    for part in parts:
        part.put(trainer, state[part.name])


def _read_model(trainer: Unseen) -> Plain:
    return dict(unwrap_model(trainer.model).state_dict())


def _put_model(trainer: Unseen, saved: Plain) -> None:
    unwrap_model(trainer.model).load_state_dict(saved)


def _read_ema(trainer: Unseen) -> Plain:
    return {"weights": dict(trainer.ema.ema.state_dict()), "updates": trainer.ema.updates}


def _put_ema(trainer: Unseen, saved: Plain) -> None:
    trainer.ema.ema.load_state_dict(saved["weights"])
    trainer.ema.updates = saved["updates"]


def _read_optimizer(trainer: Unseen) -> Plain:
    return dict(trainer.optimizer.state_dict())


def _put_optimizer(trainer: Unseen, saved: Plain) -> None:
    for old, group in zip(saved["param_groups"], trainer.optimizer.param_groups, strict=True):
        old["fused"] = group.get("fused")  # as Ultralytics does it (trainer.py:1076)
    trainer.optimizer.load_state_dict(saved)


def _read_scaler(trainer: Unseen) -> Plain:
    return dict(trainer.scaler.state_dict())


def _put_scaler(trainer: Unseen, saved: Plain) -> None:
    if saved:  # without mixed precision there is nothing to scale
        trainer.scaler.load_state_dict(saved)


def _read_criterion(trainer: Unseen) -> Plain:
    """The numbers that an end-to-end loss changes from epoch to epoch (loss.py:1343)."""
    numbers = vars(unwrap_model(trainer.model).criterion)
    return {name: value for name, value in numbers.items() if type(value) in {int, float}}


def _put_criterion(trainer: Unseen, saved: Plain) -> None:
    model: Unseen = unwrap_model(trainer.model)
    model.criterion = getattr(model, "criterion", None) or model.init_criterion()
    vars(model.criterion).update(saved)


def _read_best(trainer: Unseen) -> float | None:
    return None if trainer.best_fitness is None else float(trainer.best_fitness)


def _put_best(trainer: Unseen, saved: float | None) -> None:
    trainer.best_fitness = saved


def _read_stopper(trainer: Unseen) -> Plain:
    stopper = trainer.stopper
    return {"best_fitness": float(stopper.best_fitness), "best_epoch": stopper.best_epoch}


def _put_stopper(trainer: Unseen, saved: Plain) -> None:
    vars(trainer.stopper).update(saved)


def _read_gradients(trainer: Unseen) -> Plain:
    named = unwrap_model(trainer.model).named_parameters()
    return {name: tensor.grad for name, tensor in named if tensor.grad is not None}


def _put_gradients(trainer: Unseen, saved: Plain) -> None:
    tensors = dict(unwrap_model(trainer.model).named_parameters())
    for name, gradient in saved.items():
        tensors[name].grad = gradient.to(tensors[name].device)


def _read_last_step(trainer: Unseen) -> int:
    return int(trainer.last_step)


def _put_last_step(trainer: Unseen, saved: int) -> None:
    trainer.last_step = saved


def _read_random(trainer: Unseen) -> Plain:
    return random_state(trainer.device)


def _put_random(trainer: Unseen, saved: Plain) -> None:
    set_random_state(saved, trainer.device)


def _read_train_order(trainer: Unseen) -> Plain:
    order: Plain = trainer.noted_train.order()
    return order


def _put_train_order(trainer: Unseen, saved: Plain) -> None:
    trainer.noted_train.start_order_at(saved, anew=_mosaic_is_about_to_close(trainer))


def _read_makers(trainer: Unseen) -> list[Plain]:
    makers: list[Plain] = trainer.noted_train.makers()
    return makers


def _put_makers(trainer: Unseen, saved: list[Plain]) -> None:
    trainer.noted_train.start_makers_at(saved, anew=_mosaic_is_about_to_close(trainer))


def _read_val_order(trainer: Unseen) -> Plain:
    order: Plain = trainer.noted_val.order()
    return order


def _put_val_order(trainer: Unseen, saved: Plain) -> None:
    trainer.noted_val.start_order_at(saved)


def _mosaic_is_about_to_close(trainer: Unseen) -> bool:
    """Whether this is the epoch in which the loader starts anew without mosaic (trainer.py:508).

    Later ones do so too after a resume, though the run that was interrupted did not.
    """
    closing = trainer.args.close_mosaic
    return bool(closing) and trainer.epoch == max(trainer.epochs - closing, 0)


def _read_plugin(trainer: Unseen) -> Any:  # noqa: ANN401 -- plain data
    plugin = trainer.plugin_class
    return plain(plugin.save_state(trainer)) if plugin and brings_its_state(plugin) else None


def _put_plugin(trainer: Unseen, saved: Any) -> None:  # noqa: ANN401 -- as above
    plugin = trainer.plugin_class
    if plugin and brings_its_state(plugin):
        plugin.load_state(trainer, saved)


def plain(value: Any) -> Any:  # noqa: ANN401 -- anything
    """Return the value if it is plain data.

    Raises:
        TypeError: it holds what `torch.load(weights_only=True)` does not read.
    """
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(value, dict | list | tuple):
        for part in parts:
            plain(part)
    elif value is not None and type(value) not in {bool, int, float, str, torch.Tensor}:
        raise TypeError(f"A state is plain data, and {type(value).__name__} is none.")
    return value


AT_SETUP: Final = (
    Part("model", _read_model, _put_model),
    Part("ema", _read_ema, _put_ema),
    Part("optimizer", _read_optimizer, _put_optimizer),
    Part("scaler", _read_scaler, _put_scaler),
    Part("criterion", _read_criterion, _put_criterion),
    Part("best_fitness", _read_best, _put_best),
    Part("stopper", _read_stopper, _put_stopper),
)
"""Put where Ultralytics resumes: trainer, loaders and optimizer are built."""

AT_FIRST_EPOCH: Final = (
    Part("plugin", _read_plugin, _put_plugin),
    Part("gradients", _read_gradients, _put_gradients),
    Part("last_step", _read_last_step, _put_last_step),
    Part("random", _read_random, _put_random),
    Part("train_order", _read_train_order, _put_train_order),
    Part("makers", _read_makers, _put_makers),
    Part("val_order", _read_val_order, _put_val_order),
)
"""Put as the first epoch begins: Ultralytics has cleared gradients and drawn random numbers."""
