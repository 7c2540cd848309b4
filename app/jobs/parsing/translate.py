"""Translates Ultralytics' arguments into a job spec, and says what it left out and why."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from app.core.plain_text import shown
from app.core.tasks import TASKS, Task
from app.jobs.parsing.other_defaults import OTHER_DEFAULTS
from app.jobs.parsing.written import Literal, WrittenArguments, literal_of
from app.jobs.spec.base_model import SpecModel
from app.jobs.spec.customize import Customize
from app.jobs.spec.refused_arguments import MEANT_AS, REFUSED_ARGUMENTS
from app.jobs.spec.text_fields import MODEL_PATTERN, Name
from app.jobs.spec.train_arguments import ULTRALYTICS_NAMES, TrainArguments, check_task
from app.models.architectures import architecture, architecture_of_pretrained

MAX_SHOWN: Final = 100
OUR_NAMES: Final = {theirs: ours for ours, theirs in ULTRALYTICS_NAMES.items()}
OTHER_SPELLINGS: Final[Mapping[tuple[str, str], Literal]] = {
    ("amp", "fp16"): True,
    ("amp", "fp32"): False,
    ("cache", "ram"): True,
}
"""Values that Ultralytics reads as these."""
GPU: Final = re.compile(r"\[?\s*(cuda:?)?\s*(-1|\d+)?\s*\]?")
MODEL: Final = re.compile(MODEL_PATTERN)

NO_ARGUMENT: Final = "Ultralytics 8.4.190 has no such argument."
ON_YOUR_MACHINE: Final = (
    "This is a path on your machine. Send the weights to POST /v1/models and name them here, or "
    "name the job that made them (job_…)."
)
NO_ARCHITECTURE: Final = "This service has no such architecture; GET /v1/models lists them."
UPLOAD_FIRST: Final = (
    "Upload the dataset with POST /v1/datasets, then set `dataset` to the id of the answer."
)
ONE_GPU: Final = "A job uses one GPU, which the service chooses."
NO_SUCH_DEVICE: Final = "Jobs run on a CPU or on one NVIDIA GPU."


@dataclass(frozen=True)
class LeftOutArgument:
    """An argument that is not in the spec, and the reason."""

    argument: str
    because: str


@dataclass
class Translation:
    """A part of a job spec as JSON, what it lacks, and what was left out."""

    spec: dict[str, Any] = field(default_factory=dict)
    left_out: list[LeftOutArgument] = field(default_factory=list)

    def leave_out(self, argument: str, because: str) -> None:
        """Note that an argument is not in the spec."""
        self.left_out.append(LeftOutArgument(shown(argument, limit=MAX_SHOWN), because))


def translate(written: WrittenArguments) -> Translation:
    """Return the spec of the arguments.

    A file that lists all arguments sets only those whose value is not Ultralytics' default.
    """
    translation = Translation()
    for word in written.words:
        translation.leave_out(word, "It is not an argument: write name=value.")
    train: dict[str, Literal] = {}
    customize: dict[str, Any] = {}
    for name, text in written.arguments.items():
        ours = OUR_NAMES.get(name) or (name if name in OTHER_DEFAULTS else MEANT_AS.get(name, name))
        if ours in TrainArguments.model_fields:
            train[ours] = _value(ours, text)
        elif name in _TRANSLATED:
            _TRANSLATED[name](translation, customize, text)
        elif name in REFUSED_ARGUMENTS:
            if literal_of(text) != OTHER_DEFAULTS[name]:
                translation.leave_out(name, REFUSED_ARGUMENTS[name].message)
        else:
            close = get_close_matches(name, TrainArguments.model_fields, n=1)
            guess = f" Did you mean {close[0]}?" if close else ""
            translation.leave_out(name, NO_ARGUMENT + guess)
    _set_arguments(translation, train, lists_all=written.lists_all)
    _set_customizations(translation, customize)
    return translation


def _value(name: str, text: str | list[str]) -> Literal:
    spelled = OTHER_SPELLINGS.get((name, text.lower())) if isinstance(text, str) else None
    return literal_of(text) if spelled is None else spelled


def _set_arguments(
    translation: Translation, train: Mapping[str, Literal], *, lists_all: bool
) -> None:
    fields = TrainArguments.model_fields
    asked = {
        name: value
        for name, value in train.items()
        if value != fields[name].default or not (lists_all or value is None)
    }
    kept = _valid(TrainArguments, asked, translation)
    task = _task_of(translation.spec)
    if task is not None:
        for problem in check_task(TrainArguments(**kept), task):
            kept.pop(str(problem.loc[0]))
            translation.leave_out(str(problem.loc[0]), problem.message)
    if kept:
        translation.spec["train"] = kept


def _set_customizations(translation: Translation, customize: dict[str, Any]) -> None:
    theirs = {"freeze": "freeze", "class_weights": "cls_pw"}
    kept = _valid(Customize, customize, translation, names=theirs)
    if kept:
        translation.spec["customize"] = kept


def _valid(
    model: type[SpecModel],
    values: Mapping[str, Any],
    translation: Translation,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the values without those that the model refuses, which are left out."""
    kept = dict(values)
    while True:
        try:
            model.model_validate(kept)
        except ValidationError as error:
            refused = {str(each["loc"][0]): each["msg"] for each in error.errors() if each["loc"]}
            for name in refused.keys() & kept.keys():
                del kept[name]
                translation.leave_out((names or {}).get(name, name), f"{refused[name]}")
        else:
            return kept


def _task_of(spec: Mapping[str, Any]) -> Task | None:
    if "task" in spec:
        named: Task = spec["task"]
        return named
    model = str(spec.get("model", ""))
    shipped = architecture(model) or architecture_of_pretrained(model)
    return shipped.task if shipped else None


def _set_model(translation: Translation, _: dict[str, Any], text: str | list[str]) -> None:
    written = str(text).strip()
    name = PurePosixPath(written.replace("\\", "/")).name
    if literal_of(text) is None:
        return
    if "." not in name and architecture_of_pretrained(f"{name}.pt"):
        name += ".pt"  # Ultralytics adds it, too
    is_shipped = architecture(name) is not None or architecture_of_pretrained(name) is not None
    is_named_here = name == written and MODEL.fullmatch(name) and not name.endswith(".yaml")
    if is_shipped or is_named_here:
        translation.spec["model"] = name
    elif name.endswith((".yaml", ".yml")):
        translation.leave_out("model", NO_ARCHITECTURE)
    else:
        translation.leave_out("model", ON_YOUR_MACHINE)


def _set_task(translation: Translation, _: dict[str, Any], text: str | list[str]) -> None:
    if text in TASKS:
        translation.spec["task"] = text
    elif literal_of(text) is not None:
        translation.leave_out("task", f"The tasks are {', '.join(TASKS)}.")


def _set_name(translation: Translation, _: dict[str, Any], text: str | list[str]) -> None:
    if literal_of(text) is None:
        return
    try:
        translation.spec["name"] = TypeAdapter(Name).validate_python(str(text))
    except ValidationError as error:
        translation.leave_out("name", error.errors()[0]["msg"])


def _explain_data(translation: Translation, _: dict[str, Any], text: str | list[str]) -> None:
    if literal_of(text) is not None:
        translation.leave_out("data", UPLOAD_FIRST)


def _set_device(translation: Translation, _: dict[str, Any], text: str | list[str]) -> None:
    written = ",".join(text) if isinstance(text, list) else str(text)
    if literal_of(written) is None:
        return
    devices = [each for each in written.strip("[]() ").split(",") if each.strip()]
    if written.strip().lower() == "cpu":
        translation.spec["resources"] = {"gpus": 0}
    elif devices and all(GPU.fullmatch(each.strip().lower()) for each in devices):
        translation.spec["resources"] = {"gpus": 1}
        if len(devices) > 1:
            translation.leave_out("device", ONE_GPU)
    else:
        translation.leave_out("device", NO_SUCH_DEVICE)


def _set_freeze(_: Translation, customize: dict[str, Any], text: str | list[str]) -> None:
    layers = literal_of(text)
    if layers not in (None, 0, []):
        customize["freeze"] = {"layers": layers}


def _set_class_weights(_: Translation, customize: dict[str, Any], text: str | list[str]) -> None:
    power = literal_of(text)
    if power not in (None, 0):
        customize["class_weights"] = {"mode": "balanced", "power": power}


_TRANSLATED: Final[Mapping[str, Callable[[Translation, dict[str, Any], str | list[str]], None]]] = {
    "model": _set_model,
    "weights": _set_model,  # its name in YOLOv5
    "task": _set_task,
    "name": _set_name,
    "data": _explain_data,
    "device": _set_device,
    "freeze": _set_freeze,
    "cls_pw": _set_class_weights,
}
