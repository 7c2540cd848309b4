"""The parts of a training state: each is read from one trainer and restored in another.

Every part is needed: `tests/worker/trainer/state/test_parts.py` has for each part a training that
continues differently without it. A state contains nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from ultralytics.utils.torch_utils import unwrap_model

from worker.trainer.plugins.interface import saves_its_state
from worker.trainer.state.generators import Plain, random_state, set_random_state
from worker.trainer.upstream import Untyped


@dataclass(frozen=True)
class Part:
    """A part of the state.

    Args:
        name: The key of the part in the file.
        read: Returns the part as plain data, at the end of an epoch.
        put: Restores the part in a trainer that was built for the same job.
        may_be_missing: States of earlier releases lack the part; then None is restored.
    """

    name: str
    read: Callable[[Untyped], Any]
    put: Callable[[Untyped, Any], None]
    may_be_missing: bool = False


def parts_of(trainer: Untyped) -> Plain:
    """Return all parts of a trainer's state at the end of an epoch."""
    return {part.name: part.read(trainer) for part in (*AT_SETUP, *AT_FIRST_EPOCH)}


def put_parts(parts: tuple[Part, ...], trainer: Untyped, state: Mapping[str, Any]) -> None:
    """Restore parts of a state in a trainer."""
    for part in parts:
        is_missing = part.may_be_missing and part.name not in state
        part.put(trainer, None if is_missing else state[part.name])


def _read_model(trainer: Untyped) -> Plain:
    return dict(unwrap_model(trainer.model).state_dict())


def _put_model(trainer: Untyped, saved: Plain) -> None:
    unwrap_model(trainer.model).load_state_dict(saved)


def _read_ema(trainer: Untyped) -> Plain:
    return {"weights": dict(trainer.ema.ema.state_dict()), "updates": trainer.ema.updates}


def _put_ema(trainer: Untyped, saved: Plain) -> None:
    trainer.ema.ema.load_state_dict(saved["weights"])
    trainer.ema.updates = saved["updates"]


def _read_optimizer(trainer: Untyped) -> Plain:
    return dict(trainer.optimizer.state_dict())


def _put_optimizer(trainer: Untyped, saved: Plain) -> None:
    for old, group in zip(saved["param_groups"], trainer.optimizer.param_groups, strict=True):
        old["fused"] = group.get("fused")  # as Ultralytics does (trainer.py:1076)
    trainer.optimizer.load_state_dict(saved)


def _read_scaler(trainer: Untyped) -> Plain:
    return dict(trainer.scaler.state_dict())


def _put_scaler(trainer: Untyped, saved: Plain) -> None:
    if saved:  # without mixed precision there is nothing to scale
        trainer.scaler.load_state_dict(saved)


def _read_criterion(trainer: Untyped) -> Plain:
    """Return the numbers that an end-to-end loss changes from epoch to epoch (loss.py:1343)."""
    numbers = vars(unwrap_model(trainer.model).criterion)
    return {name: value for name, value in numbers.items() if type(value) in {int, float}}


def _put_criterion(trainer: Untyped, saved: Plain) -> None:
    model: Untyped = unwrap_model(trainer.model)
    model.criterion = getattr(model, "criterion", None) or model.init_criterion()
    vars(model.criterion).update(saved)


def _read_best(trainer: Untyped) -> float | None:
    return None if trainer.best_fitness is None else float(trainer.best_fitness)


def _put_best(trainer: Untyped, saved: float | None) -> None:
    trainer.best_fitness = saved


def _read_stopper(trainer: Untyped) -> Plain:
    stopper = trainer.stopper
    return {"best_fitness": float(stopper.best_fitness), "best_epoch": stopper.best_epoch}


def _put_stopper(trainer: Untyped, saved: Plain) -> None:
    vars(trainer.stopper).update(saved)


def _read_first_losses(trainer: Untyped) -> list[float] | None:
    losses: list[float] | None = trainer.first_losses
    return None if losses is None else list(losses)


def _put_first_losses(trainer: Untyped, saved: list[float] | None) -> None:
    trainer.first_losses = saved


def _read_gradients(trainer: Untyped) -> Plain:
    named = unwrap_model(trainer.model).named_parameters()
    return {name: tensor.grad for name, tensor in named if tensor.grad is not None}


def _put_gradients(trainer: Untyped, saved: Plain) -> None:
    tensors = dict(unwrap_model(trainer.model).named_parameters())
    for name, gradient in saved.items():
        tensors[name].grad = gradient.to(tensors[name].device)


def _read_last_step(trainer: Untyped) -> int:
    return int(trainer.last_step)


def _put_last_step(trainer: Untyped, saved: int) -> None:
    trainer.last_step = saved


def _read_random(trainer: Untyped) -> Plain:
    return random_state(trainer.device)


def _put_random(trainer: Untyped, saved: Plain) -> None:
    set_random_state(saved, trainer.device)


def _read_train_order(trainer: Untyped) -> Plain:
    order: Plain = trainer.recorded_train_loader.order()
    return order


def _put_train_order(trainer: Untyped, saved: Plain) -> None:
    trainer.recorded_train_loader.start_order_at(
        saved, restarting=_mosaic_is_about_to_close(trainer)
    )


def _read_worker_states(trainer: Untyped) -> list[Plain]:
    states: list[Plain] = trainer.recorded_train_loader.worker_states()
    return states


def _put_worker_states(trainer: Untyped, saved: list[Plain]) -> None:
    trainer.recorded_train_loader.start_workers_at(
        saved, restarting=_mosaic_is_about_to_close(trainer)
    )


def _read_val_order(trainer: Untyped) -> Plain:
    order: Plain = trainer.recorded_val_loader.order()
    return order


def _put_val_order(trainer: Untyped, saved: Plain) -> None:
    trainer.recorded_val_loader.start_order_at(saved)


def _mosaic_is_about_to_close(trainer: Untyped) -> bool:
    """Return whether the loader restarts without mosaic in this epoch (trainer.py:508).

    After a resume Ultralytics also restarts it in a later epoch, where the interrupted run did not.
    """
    closing = trainer.args.close_mosaic
    return bool(closing) and trainer.epoch == max(trainer.epochs - closing, 0)


def _read_plugin(trainer: Untyped) -> Any:  # noqa: ANN401 -- plain data
    plugin = trainer.plugin_class
    return plain(plugin.save_state(trainer)) if plugin and saves_its_state(plugin) else None


def _put_plugin(trainer: Untyped, saved: Any) -> None:  # noqa: ANN401 -- as above
    plugin = trainer.plugin_class
    if plugin and saves_its_state(plugin):
        plugin.load_state(trainer, saved)


def plain(value: Any) -> Any:  # noqa: ANN401 -- anything
    """Return the value if it is plain data.

    Raises:
        TypeError: The value contains something that `torch.load(weights_only=True)` does not read.
    """
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(value, dict | list | tuple):
        for part in parts:
            plain(part)
    elif value is not None and type(value) not in {bool, int, float, str, torch.Tensor}:
        raise TypeError(f"A state is plain data, and {type(value).__name__} is not.")
    return value


AT_SETUP: Final = (
    Part("model", _read_model, _put_model),
    Part("ema", _read_ema, _put_ema),
    Part("optimizer", _read_optimizer, _put_optimizer),
    Part("scaler", _read_scaler, _put_scaler),
    Part("criterion", _read_criterion, _put_criterion),
    Part("best_fitness", _read_best, _put_best),
    Part("stopper", _read_stopper, _put_stopper),
    Part("first_losses", _read_first_losses, _put_first_losses, may_be_missing=True),
)
"""Restored where Ultralytics resumes, when trainer, loaders and optimizer are built."""

AT_FIRST_EPOCH: Final = (
    Part("plugin", _read_plugin, _put_plugin),
    Part("gradients", _read_gradients, _put_gradients),
    Part("last_step", _read_last_step, _put_last_step),
    Part("random", _read_random, _put_random),
    Part("train_order", _read_train_order, _put_train_order),
    Part("makers", _read_worker_states, _put_worker_states),
    Part("val_order", _read_val_order, _put_val_order),
)
"""Restored when the first epoch begins, after Ultralytics cleared gradients and drew randomly."""
