"""The architectures of Ultralytics 8.4.190 that this service offers, as data without torch.

A contract test compares every row with the installed yaml files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Literal

from app.core.tasks import Task

Family = Literal["yolo26", "yolo11", "yolov8"]
Scale = Literal["n", "s", "m", "l", "x"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """One shipped model; the first `backbone_layers` of its layers are the backbone.

    `layers` counts the entries of backbone and head; the head comes last.
    """

    name: str
    task: Task
    family: Family
    scale: Scale
    backbone_layers: int
    layers: int

    @property
    def pretrained_name(self) -> str:
        """The name of the official weights of this architecture, such as `yolo26n-seg.pt`."""
        return self.name.removesuffix(".yaml") + ".pt"


SCALES: Final[tuple[Scale, ...]] = ("n", "s", "m", "l", "x")

TASK_SUFFIXES: Final[dict[Task, str]] = {
    "detect": "",
    "segment": "-seg",
    "pose": "-pose",
    "obb": "-obb",
    "classify": "-cls",
    "semantic": "-sem",
    "depth": "-depth",
}

# (backbone, all layers) of ultralytics/cfg/models; scales change only widths and repeats.
_LAYERS: Final[dict[Family, dict[Task, tuple[int, int]]]] = {
    "yolo26": {
        "detect": (11, 24),
        "segment": (11, 24),
        "pose": (11, 24),
        "obb": (11, 24),
        "classify": (10, 11),
        "semantic": (11, 18),
        "depth": (11, 24),
    },
    "yolo11": {
        "detect": (11, 24),
        "segment": (11, 24),
        "pose": (11, 24),
        "obb": (11, 24),
        "classify": (10, 11),
    },
    "yolov8": {
        "detect": (10, 23),
        "segment": (10, 23),
        "pose": (10, 23),
        "obb": (10, 23),
        "classify": (9, 10),
    },
}


def architecture(name: str) -> Architecture | None:
    """Return the offered architecture with this yaml name (`yolo26n.yaml`), or None."""
    return ARCHITECTURES.get(name)


def architecture_of_pretrained(name: str) -> Architecture | None:
    """Return the architecture of the official weights with this name (`yolo26n.pt`), or None."""
    return _BY_PRETRAINED_NAME.get(name)


def nearest_model(name: str) -> str | None:
    """Return the architecture or the official weights that a wrong name probably means, or None.

    The weights, unless the name ends like a yaml file.
    """
    stem, _, ending = name.lower().rpartition(".")
    if not stem:
        stem, ending = name.lower(), "pt"
    known = {row.pretrained_name.removesuffix(".pt"): row for row in ARCHITECTURES.values()}
    found = get_close_matches(stem, known, n=1, cutoff=0.75)
    if not found:
        return None
    row = known[found[0]]
    return row.name if ending.startswith("y") else row.pretrained_name


def _all_architectures() -> Iterator[Architecture]:
    for family, tasks in _LAYERS.items():
        for task, (backbone_layers, layers) in tasks.items():
            for scale in SCALES:
                name = f"{family}{scale}{TASK_SUFFIXES[task]}.yaml"
                yield Architecture(name, task, family, scale, backbone_layers, layers)


ARCHITECTURES: Final = MappingProxyType({row.name: row for row in _all_architectures()})
_BY_PRETRAINED_NAME: Final = MappingProxyType(
    {row.pretrained_name: row for row in ARCHITECTURES.values()}
)
