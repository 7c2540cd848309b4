"""Trainer plugins: what an operator's package subclasses, and how a job's plugin is found.

Free of torch: a plugin is described without training anything. docs/plugins.md is the guide.
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
"""The group of entry points that plugins are found in; an entry point's name is the plugin's."""

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
"""What the names of Trainyard's own hooks begin with (`worker.trainer.hooks`)."""


class PluginOptions(BaseModel):
    """Base of a plugin's options; a plugin without a model of its own has none.

    Their JSON Schema is what the API shows and what `trainer.options` is held to at submit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainerPlugin:
    """A change of the trainer that jobs can ask for by name; never instantiated.

    The composed trainer has the validated options of its job as `plugin_options`. A plugin must not
    keep state on the class: what a resume needs goes into attributes that the epoch determines.
    """

    Options: ClassVar[type[BaseModel]] = PluginOptions
    """Model of `trainer.options`; it forbids extra fields."""

    tasks: ClassVar[frozenset[str]] = frozenset(TASKS)
    """Tasks that jobs may use it for."""

    mixins: ClassVar[tuple[type, ...]] = ()
    """Classes right over the task's trainer, outermost first. Each overrides what it needs
    (get_model, get_validator, get_dataloader, preprocess_batch, label_loss_items, validate…) and
    calls super()."""

    callbacks: ClassVar[Mapping[str, Callable[[Any], None]]] = {}
    """Functions by event of `TRAINER_EVENTS`; each is called with the trainer, after Ultralytics'
    own and before Trainyard reports the event."""

    keeps_state: ClassVar[bool] = False
    """Whether it holds anything, from one epoch to the next, that the epoch does not determine.
    Jobs of a plugin that says so and does not bring both `save_state` and `load_state` are resumed
    plainly."""

    @classmethod
    def save_state(cls, trainer: Any) -> Any:  # noqa: ANN401, ARG003 -- for subclasses
        """Return what `load_state` needs, as plain data.

        Called when an epoch has ended and all callbacks were called. Tensors, numbers, strings,
        None and lists, tuples and dicts of them: what `torch.load(weights_only=True)` reads.
        """
        return None

    @classmethod
    def load_state(cls, trainer: Any, state: Any) -> None:  # noqa: ANN401 -- for subclasses
        """Set in a new trainer what `save_state` returned.

        Called as the first epoch of a resumed job begins, before any callback of it.
        """

    @classmethod
    def trainer_for(cls, task: Task) -> type | None:  # noqa: ARG003 -- for subclasses
        """Return a whole trainer class, derived from Ultralytics' for the task; None: that one."""
        return None


def saves_its_state(plugin: type[TrainerPlugin]) -> bool:
    """Tell whether the plugin has both methods, to save state and to load it."""
    return all(
        getattr(plugin, name).__func__ is not getattr(TrainerPlugin, name).__func__
        for name in ("save_state", "load_state")
    )


class PluginFailed(TrainerError):
    """Something went wrong in a job that uses a plugin, and nothing better is known of it."""

    hint = (
        "Show the author of the trainer plugin this job's log; "
        "without `trainer` the job runs as Trainyard alone would run it."
    )


class PluginUnusable(BadSpec):
    """The job's plugin is not installed here, or is not what a plugin has to be."""

    hint = "Ask the operator which trainer plugins are installed, and show them this message."


@dataclass(frozen=True)
class ChosenPlugin:
    """The plugin of a job, and its options."""

    name: str
    plugin: type[TrainerPlugin]
    options: BaseModel


def plugin_of(choice: TrainerChoice | None, task: Task) -> ChosenPlugin | None:
    """Load what the job names; None where it names nothing.

    Raises:
        BadSpec: it does not take the options.
        PluginUnusable: it is not installed here, is not what a plugin has to be, or is not for the
            task.
    """
    if choice is None:
        return None
    found = entry_points(group=GROUP, name=choice.name)
    if len(found) != 1:
        count = "Two packages bring" if found else "No package here brings"
        raise PluginUnusable(f"{count} the trainer plugin {choice.name}.")
    (point,) = found
    try:
        plugin = load(point)
    except Exception as error:
        message = f"The trainer plugin {choice.name} cannot be used: {_words(error)}"
        raise PluginUnusable(message) from error
    if task not in plugin.tasks:
        raise PluginUnusable(f"The trainer plugin {choice.name} is not for {task}.")
    return ChosenPlugin(choice.name, plugin, _options(choice, plugin))


def load(point: EntryPoint) -> type[TrainerPlugin]:
    """Import a plugin and look whether it is one.

    Raises:
        TypeError: the entry point's value is no subclass of `TrainerPlugin`, or one that asks for
            what does not exist or defines reserved names.
        Exception: whatever its import raises.
    """
    plugin = point.load()
    if not (isinstance(plugin, type) and issubclass(plugin, TrainerPlugin)):
        raise TypeError(f"{point.value} is no subclass of worker.trainer.plugins.TrainerPlugin.")
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
    """Return what the classes of a plugin define although Trainyard's hooks would hide it."""
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
    """Name the plugin in what goes wrong inside the block, if the job has one.

    What the plugin raised is its own, whatever Ultralytics was about to do meanwhile; errors that
    already have a name, and come from elsewhere, keep it.

    Raises:
        PluginFailed: instead of what was raised.
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
        raise PluginFailed(f"{start} {choice.name}: {_words(cause)}") from error


def plugin_version(name: str) -> str | None:
    """Return name and version of the package that brings a plugin; None where none does."""
    found = [point.dist for point in entry_points(group=GROUP, name=name)]
    return next((f"{dist.name} {dist.version}" for dist in found if dist is not None), None)


def packages_of(name: str) -> set[str]:
    """Return the top-level packages that a plugin's code is in."""
    return {point.module.partition(".")[0] for point in entry_points(group=GROUP, name=name)}


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _was_raised_in(error: BaseException, packages: set[str]) -> bool:
    """Whether the plugin's code is nearer to the failure than Ultralytics' is."""
    modules = [
        str(frame.f_globals.get("__name__", "")).partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    near = (each for each in reversed(modules) if each in packages | {"ultralytics"})
    return next(near, None) in packages


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
