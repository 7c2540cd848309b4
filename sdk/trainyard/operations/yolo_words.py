"""Arguments in Ultralytics' words as a spec: the server translates them."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from trainyard.core.connection import Connection
from trainyard.core.steps import Operation
from trainyard.errors import ConfigurationError
from trainyard.operations.jobs import parse_job

OF_THIS_MACHINE: Final = frozenset({"data", "model", "project", "exist_ok", "save_dir"})
"""Arguments that are not sent: they name files of this machine."""
WITHOUT_EFFECT: Final = frozenset(
    {"mode", "save", "save_period", "show", "verbose", "profile", "val", "plots"}
)
"""Arguments that the server may leave out without another result."""


@dataclass(frozen=True)
class YoloTraining:
    """A training in Ultralytics' words, as far as the server knows it.

    Args:
        spec: a part of a spec: `train`, `customize`, `resources`, `name`.
        left_out: arguments without an effect on the result, with the reason.
    """

    spec: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def translate(
    connection: Connection, model: str, arguments: Mapping[str, Any]
) -> Operation[YoloTraining]:
    """Translate arguments of `YOLO.train`.

    Args:
        connection: to the server.
        model: as a person wrote it; it says the task.
        arguments: by name; None values mean the default.

    Raises:
        ConfigurationError: an argument would change the result and has no equivalent.
    """
    asked = {
        name: value
        for name, value in arguments.items()
        if value is not None and name not in OF_THIS_MACHINE and not _is_said(name, value, model)
    }
    if not asked:
        return YoloTraining()
    text = " ".join(f"{name}={shlex.quote(_written(value))}" for name, value in asked.items())
    parsed = yield from parse_job(connection, text)
    refused = {each.argument: each.because for each in parsed.left_out}
    harmless = {name: refused.pop(name) for name in WITHOUT_EFFECT & refused.keys()}
    if refused:
        lines = [f"{name}: {because}" for name, because in refused.items()]
        raise ConfigurationError("\n".join(["These arguments cannot be used as they are:", *lines]))
    spec = {key: value for key, value in parsed.spec.items() if key != "model"}
    return YoloTraining(spec, harmless)


def _is_said(name: str, value: object, model: str) -> bool:
    """Return whether the name of the model says what an argument says: weights or none."""
    return name == "pretrained" and value is model.endswith(".pt")


def _written(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(_written(each) for each in value)}]"
    return str(value)
