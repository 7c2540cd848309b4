"""Reads a model file with Ultralytics' safe loader and compares it with the shipped models."""

import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import nn
from ultralytics.nn import modules
from ultralytics.nn.modules.head import Depth, SemanticSegment
from ultralytics.nn.tasks import _SafeLoad, parse_model, torch_safe_load, yaml_model_load

from app.core.tasks import TASKS, Task
from worker.trainer.errors import is_out_of_memory, plain_text
from worker.trainer.weights.inspection import MAX_CLASS_NAME, MAX_CLASSES, Inspection, WeightsReport

HEADS: Final[dict[Task, type[nn.Module]]] = {
    "semantic": SemanticSegment,
    "segment": modules.Segment,
    "pose": modules.Pose,
    "obb": modules.OBB,
    "classify": modules.Classify,
    "depth": Depth,
    "detect": modules.Detect,  # last, since most of the others are subclasses of it
}
NO_HEADS: Final = (modules.WorldDetect, modules.YOLOEDetect, modules.v10Detect)
"""Subclasses of Detect whose models are trained in other ways."""
SHIPPED_NAME: Final = re.compile(r"yolo[a-z0-9]{1,10}(-[a-z0-9]{1,8})?\.yaml\Z")
FOREIGN: Final = re.compile(r"GLOBAL ([A-Za-z0-9_.]{1,200})")


class Refusal(Exception):
    """No job can use the file; the text is the reason."""


def inspect(file: Path) -> Inspection:
    """Return the content of the file, or the reason why no job can start from it.

    No code from the file is executed: only Ultralytics' and torch's own classes are instantiated.

    Raises:
        MemoryError: Memory ran out, a problem of this machine and not of the file. Other exceptions
            with the same meaning are raised, too.
    """
    try:
        model = _load(file)
        return Inspection(found=_describe(model))
    except Refusal as refusal:
        return Inspection(refusal=str(refusal))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        traceback.print_exc()
        message = plain_text(f"{type(error).__name__}: {error}")[:300]
        return Inspection(refusal=f"Ultralytics cannot use the model ({message}).")


def _load(file: Path) -> Any:  # noqa: ANN401 -- a model of Ultralytics, which is not typed
    if not _SafeLoad.SUPPORTED:  # an older torch: `safe_only` would be ignored (tasks.py:1898)
        raise RuntimeError("this torch cannot load safely")
    try:
        checkpoint, _ = torch_safe_load(file, safe_only=True)  # type: ignore[no-untyped-call]
    except Exception as error:
        if is_out_of_memory(error):
            raise
        traceback.print_exc()
        raise Refusal(_why_unreadable(error)) from error
    model = (checkpoint.get("ema") or checkpoint.get("model")) if checkpoint else None
    if not isinstance(model, nn.Module) or not isinstance(getattr(model, "model", None), nn.Module):
        raise Refusal("It contains no Ultralytics model (only .pt files from Ultralytics do).")
    return model


def _why_unreadable(error: Exception) -> str:
    cause = error.__cause__
    foreign = FOREIGN.search(str(cause)) if cause else None
    if foreign is not None:
        return (
            f"It contains {foreign[1]}, which is not a class of Ultralytics or torch; such files "
            "run their own code and are not loaded."
        )
    if "TorchScript" in str(error):
        return "It is a TorchScript archive; add the .pt file that it was exported from."
    if isinstance(error, TypeError):
        return "It cannot be read: the file is truncated, damaged, or of another kind."
    name = plain_text(f"{type(error).__name__}: {error}".splitlines()[0])[:300]
    return f"It cannot be read ({name})."


def _describe(model: Any) -> WeightsReport:  # noqa: ANN401
    weights = list(model.parameters())
    if not weights or not all(torch.isfinite(tensor).all() for tensor in weights):
        raise Refusal("It has no weights, or some of them are not finite numbers.")
    return WeightsReport(
        task=_task_of(model),
        architecture=_architecture_of(model),
        classes=_classes_of(model),
        parameters=sum(tensor.numel() for tensor in weights),
    )


def _task_of(model: Any) -> Task:  # noqa: ANN401
    head = model.model[-1]
    if not isinstance(head, NO_HEADS):
        for task, kind in HEADS.items():
            if isinstance(head, kind):
                return task
    tasks = ", ".join(TASKS)
    raise Refusal(f"Its last layer is {type(head).__name__}, which does not fit any of {tasks}.")


def _classes_of(model: Any) -> tuple[str, ...]:  # noqa: ANN401
    names = getattr(model, "names", None)
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or sorted(names) != list(range(len(names))):
        raise Refusal("Its classes have no names, or are not numbered from 0.")
    if len(names) > MAX_CLASSES:
        raise Refusal(f"It has more than {MAX_CLASSES} classes.")
    return tuple(_class_name(names[number]) for number in range(len(names)))


def _class_name(name: object) -> str:
    """Return the name without characters that a database cannot store, and truncated."""
    text = str(name).replace("\0", "").encode(errors="replace").decode()
    return text[:MAX_CLASS_NAME]


def _architecture_of(model: Any) -> str | None:  # noqa: ANN401
    """Return the shipped yaml that the model names, or None if its layers differ from it."""
    config = model.yaml if isinstance(getattr(model, "yaml", None), dict) else {}
    name = str(config.get("yaml_file", "")).replace("\\", "/").rpartition("/")[2]
    if SHIPPED_NAME.match(name) is None:
        return None
    try:
        shipped = _shipped(name, model, config)
    except FileNotFoundError:
        return None
    layers = model.model
    same = len(shipped) == len(layers) and list(_structure(shipped)) == list(_structure(layers))
    return name if same else None


def _shipped(name: str, model: Any, config: dict[str, Any]) -> nn.Sequential:  # noqa: ANN401
    """Build the yaml's layers for the model's classes, channels and keypoints, without storage."""
    yaml = yaml_model_load(name)  # type: ignore[no-untyped-call]
    yaml["nc"] = config.get("nc", len(model.names))
    if "kpt_shape" in yaml:
        yaml["kpt_shape"] = list(config.get("kpt_shape", yaml["kpt_shape"]))
    with torch.device("meta"):
        layers, _ = parse_model(yaml, ch=config.get("channels", 3), verbose=False)  # type: ignore[no-untyped-call]
    return cast("nn.Sequential", layers)


def _structure(layers: Any) -> Iterator[tuple[object, ...]]:  # noqa: ANN401
    """Yield the facts by which two models compute the same, except for their weights.

    These are the inputs of each layer (`f`), every module's class, the geometry of every
    convolution, and the names and shapes of all tensors.
    """
    for layer in layers:
        yield (layer.i, layer.f)
    for name, module in layers.named_modules():
        geometry: tuple[object, ...] = ()
        if isinstance(module, nn.Conv2d):
            geometry = (module.stride, module.padding, module.dilation, module.groups)
        yield (name, type(module), geometry)
    for name, tensor in layers.state_dict().items():
        yield (name, tuple(tensor.shape))
