"""Trainer plugins: the base classes for an operator's package, and the loading of a job's plugin.

Does not import torch, since plugins are also described without a training. docs/plugins.md is the
guide.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from app.core.tasks import TASKS, Task
from app.jobs.spec.job_spec import TrainerChoice
from worker.trainer.errors import BadSpec, TrainerError

GROUP: Final = "trainyard.trainers"
"""The group of the entry points of plugins; an entry point's name is the plugin's name."""

TRAINER_EVENTS: Final = frozenset(
    {
        "on_pretrain_routine_start",
        "on_pretrain_routine_end",
        "on_train_start",
        "on_train_epoch_start",
        "on_train_batch_start",
        "on_train_batch_end",
        "on_train_epoch_end",
        "on_fit_epoch_end",
        "on_model_save",
        "on_train_end",
        "teardown",
    }
)
"""Events that a trainer of Ultralytics 8.4.190 runs (engine/trainer.py)."""

RESERVED_PREFIXES: Final = ("hook_before_", "hook_after_")
"""The prefixes of the names of Trainyard's own hooks (`worker.trainer.hooks`)."""


class PluginOptions(BaseModel):
    """Base of a plugin's options; a plugin without its own model has no options.

    The API shows their JSON Schema, and validates `trainer.options` against it at submit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainerPlugin:
    """A change of the trainer that jobs select by name; never instantiated.

    The composed trainer has the validated options of its job as `plugin_options`. A plugin must not
    keep state on the class: a resume needs attributes that the epoch alone determines, or the
    methods `save_state` and `load_state`.
    """

    Options: ClassVar[type[BaseModel]] = PluginOptions
    """The model of `trainer.options`; it forbids extra fields."""

    tasks: ClassVar[frozenset[str]] = frozenset(TASKS)
    """The tasks for which jobs can use the plugin."""

    mixins: ClassVar[tuple[type, ...]] = ()
    """Classes directly over the task's trainer, outermost first. Each overrides the methods that it
    needs (get_model, get_validator, get_dataloader, preprocess_batch, label_loss_items, validate…)
    and calls super()."""

    callbacks: ClassVar[Mapping[str, Callable[[Any], None]]] = {}
    """Functions by event of `TRAINER_EVENTS`; each is called with the trainer, after Ultralytics'
    own callbacks and before Trainyard reports the event."""

    keeps_state: ClassVar[bool] = False
    """Whether the plugin keeps state between epochs that the epoch does not determine. If true and
    the plugin does not define both `save_state` and `load_state`, its jobs are resumed plainly."""

    @classmethod
    def save_state(cls, trainer: Any) -> Any:  # noqa: ANN401, ARG003 -- for subclasses
        """Return the state for `load_state`, as plain data.

        Called at the end of an epoch, after all callbacks. Plain data are tensors, numbers, strings
        and None, and lists, tuples and dicts of them: `torch.load(weights_only=True)` must be able
        to read the state.
        """
        return None

    @classmethod
    def load_state(cls, trainer: Any, state: Any) -> None:  # noqa: ANN401 -- for subclasses
        """Restore the result of `save_state` in a new trainer.

        Called when the first epoch of a resumed job begins, before any of its callbacks.
        """

    @classmethod
    def trainer_for(cls, task: Task) -> type | None:  # noqa: ARG003 -- for subclasses
        """Return a trainer class derived from Ultralytics' for the task; None uses Ultralytics'."""
        return None


def saves_its_state(plugin: type[TrainerPlugin]) -> bool:
    """Return whether the plugin defines both `save_state` and `load_state`."""
    return all(
        getattr(plugin, name).__func__ is not getattr(TrainerPlugin, name).__func__
        for name in ("save_state", "load_state")
    )


class PluginFailed(TrainerError):
    """A job that uses a plugin failed, and no more specific error is known."""

    hint = (
        "Show this job's log to the author of the trainer plugin; "
        "without `trainer` the job runs without the plugin."
    )


class PluginUnusable(BadSpec):
    """The job's plugin is not installed here, or is not a valid plugin."""

    hint = "Ask the operator which trainer plugins are installed, and show them this message."


@dataclass(frozen=True)
class ChosenPlugin:
    """The plugin of a job, and its options."""

    name: str
    plugin: type[TrainerPlugin]
    options: BaseModel


def plugin_of(choice: TrainerChoice | None, task: Task) -> ChosenPlugin | None:
    """Load the plugin that the job names; return None if the job names no plugin.

    Raises:
        BadSpec: The plugin rejects the options.
        PluginUnusable: The plugin is not installed here, is not valid, or does not support the
            task.
    """
    if choice is None:
        return None
    found = entry_points(group=GROUP, name=choice.name)
    if len(found) != 1:
        count = "Two installed packages provide" if found else "No installed package provides"
        raise PluginUnusable(f"{count} the trainer plugin {choice.name}.")
    (point,) = found
    try:
        plugin = load(point)
    except Exception as error:
        message = f"The trainer plugin {choice.name} cannot be used: {_described(error)}"
        raise PluginUnusable(message) from error
    if task not in plugin.tasks:
        raise PluginUnusable(f"The trainer plugin {choice.name} is not for {task}.")
    return ChosenPlugin(choice.name, plugin, _options(choice, plugin))


def load(point: EntryPoint) -> type[TrainerPlugin]:
    """Import a plugin and check that it is valid.

    Raises:
        TypeError: The entry point's value is not a subclass of `TrainerPlugin`, uses unknown events
            or tasks, allows extra options, or defines reserved names.
        Exception: Any exception from the import.
    """
    plugin = point.load()
    if not (isinstance(plugin, type) and issubclass(plugin, TrainerPlugin)):
        raise TypeError(f"{point.value} is not a subclass of worker.trainer.plugins.TrainerPlugin.")
    if plugin.Options.model_config.get("extra") != "forbid":
        raise TypeError(f"{point.value}.Options does not forbid extra fields.")
    if unknown := sorted(plugin.callbacks.keys() - TRAINER_EVENTS):
        raise TypeError(f"{point.value}.callbacks names unknown events: {', '.join(unknown)}.")
    if unknown := sorted(plugin.tasks - set(TASKS)):
        raise TypeError(f"{point.value}.tasks names unknown tasks: {', '.join(unknown)}.")
    if taken := reserved_names(plugin.mixins):
        raise TypeError(f"{point.value}.mixins define reserved names: {', '.join(taken)}.")
    return plugin


def reserved_names(kinds: Iterable[type]) -> list[str]:
    """Return the reserved names that a plugin's classes define and Trainyard's hooks would hide."""
    bases = {base for kind in kinds for base in kind.__mro__}
    own = [base for base in bases if not base.__module__.startswith("worker.trainer.")]
    names = {name for base in own for name in vars(base)}
    return sorted(name for name in names if name.startswith(RESERVED_PREFIXES))


def _options(choice: TrainerChoice, plugin: type[TrainerPlugin]) -> BaseModel:
    try:
        return plugin.Options.model_validate(choice.options)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, ("trainer", "options", *first["loc"])))
        raise BadSpec(f"{place}: {first['msg']}") from None


@contextmanager
def failures_named(choice: TrainerChoice | None) -> Iterator[None]:
    """Name the job's plugin, if any, in the failures of the block.

    An exception that the plugin raised counts as its own, even if Ultralytics wrapped it. A
    `TrainerError` from elsewhere is raised unchanged.

    Raises:
        PluginFailed: In place of the original exception.
    """
    try:
        yield
    except Exception as error:
        if choice is None or isinstance(error, PluginUnusable):
            raise
        cause = _first_cause(error)
        is_its_own = _was_raised_in(cause, packages_of(choice.name))
        if isinstance(cause, TrainerError) or (isinstance(error, TrainerError) and not is_its_own):
            raise
        start = "The trainer plugin" if is_its_own else "With the trainer plugin"
        raise PluginFailed(f"{start} {choice.name}: {_described(cause)}") from error


def plugin_version(name: str) -> str | None:
    """Return name and version of the package that provides a plugin; None if there is none."""
    found = [point.dist for point in entry_points(group=GROUP, name=name)]
    return next((f"{dist.name} {dist.version}" for dist in found if dist is not None), None)


def packages_of(name: str) -> set[str]:
    """Return the top-level packages that contain the plugin's code."""
    return {point.module.partition(".")[0] for point in entry_points(group=GROUP, name=name)}


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _was_raised_in(error: BaseException, packages: set[str]) -> bool:
    """Return whether the plugin's code is closer to the failure than Ultralytics' code."""
    modules = [
        str(frame.f_globals.get("__name__", "")).partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    closest = (module for module in reversed(modules) if module in packages | {"ultralytics"})
    return next(closest, None) in packages


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
