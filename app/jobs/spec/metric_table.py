"""The metrics of each task, under their names in results.csv, and their direction.

Imports no torch: server and trainer read the same table. The names are those of Ultralytics 8.4.190
(utils/metrics.py: the `keys` of each metrics class; utils/loss.py: `loss_names`), plus our F1.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from app.core.tasks import Task

Direction = Literal["higher", "lower"]

FITNESS: Final = "fitness"
"""Ultralytics' own metric of a task: a sum or mean of metrics; higher is better."""

F1_METRICS: Final[Mapping[Task, tuple[str, ...]]] = MappingProxyType(
    {
        "detect": ("metrics/F1(B)",),
        "segment": ("metrics/F1(B)", "metrics/F1(M)"),
        "pose": ("metrics/F1(B)", "metrics/F1(P)"),
        "obb": ("metrics/F1(B)",),
        "classify": ("metrics/F1",),
        "semantic": ("metrics/F1",),
        "depth": (),
    }
)
"""The columns that `customize.metrics.f1` adds."""


def metrics_of(task: Task, architecture: str | None = None) -> Mapping[str, Direction]:
    """Return every metric that can choose a checkpoint of the task, with its direction.

    Args:
        task: the job's task.
        architecture: the yaml name of the model; None returns the losses of all families.
    """
    table: dict[str, Direction] = {FITNESS: "higher"}
    table |= dict.fromkeys(_HIGHER[task] + F1_METRICS[task], "higher")
    table |= dict.fromkeys(_LOWER.get(task, ()), "lower")
    table |= {f"val/{name}": "lower" for name in _losses(task, architecture)}
    return table


def direction_of(task: Task, metric: str) -> Direction | None:
    """Return the direction of a metric; None for an unknown one."""
    return metrics_of(task).get(metric)


def _losses(task: Task, architecture: str | None) -> tuple[str, ...]:
    is_known = architecture is not None
    is_yolo26 = is_known and str(architecture).startswith("yolo26")
    without = () if not is_known else _ONLY_OLDER if is_yolo26 else _ONLY_YOLO26
    return tuple(name for name in _LOSSES[task] if name not in without)


def _boxes(*suffixes: str) -> tuple[str, ...]:
    names = ("precision", "recall", "mAP50", "mAP50-95")
    return tuple(f"metrics/{name}({suffix})" for suffix in suffixes for name in names)


_HIGHER: Final[Mapping[Task, tuple[str, ...]]] = {
    "detect": _boxes("B"),
    "segment": _boxes("B", "M"),
    "pose": _boxes("B", "P"),
    "obb": _boxes("B"),
    "classify": ("metrics/accuracy_top1", "metrics/accuracy_top5"),
    "semantic": ("metrics/mIoU", "metrics/pixel_acc"),
    "depth": ("metrics/delta1", "metrics/delta2", "metrics/delta3"),
}
_LOWER: Final[Mapping[Task, tuple[str, ...]]] = {
    "depth": ("metrics/abs_rel", "metrics/rmse", "metrics/silog"),
}

_DETECT: Final = ("box_loss", "cls_loss", "dfl_loss", "l1_loss")
_LOSSES: Final[Mapping[Task, tuple[str, ...]]] = {
    "detect": _DETECT,
    "segment": (*_DETECT, "seg_loss", "sem_loss"),
    "pose": (*_DETECT, "pose_loss", "kobj_loss", "rle_loss"),
    "obb": (*_DETECT, "angle_loss"),
    "classify": ("loss",),
    "semantic": ("ce_loss", "dice_loss", "aux_loss"),
    "depth": ("dlog_loss", "dgrad_loss"),
}
_ONLY_YOLO26: Final = ("l1_loss", "rle_loss")
_ONLY_OLDER: Final = ("dfl_loss",)
