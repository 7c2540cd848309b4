"""Which charts show the series of a job, in which order, and the colour and dash of each line."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from app.web.formats import short_metric

HUES: Final = 8
DASHES: Final = 4
THICK: Final = 2.75
KNOWN_METRICS: Final = {
    "F1": (1, 0),
    "mAP50": (3, 0),
    "mAP50-95": (3, 1),
    "precision": (4, 0),
    "recall": (2, 0),
    "accuracy_top1": (1, 0),
    "accuracy_top5": (3, 0),
}
"""Hue and dash of the metrics that most jobs have, in the order of the legend."""
PARTS: Final = {"B": "boxes", "M": "masks", "P": "key points"}
PART_OF_METRIC: Final = re.compile(r"^metrics/.*\((?P<part>[BMP])\)$")
LOSSES: Final = {
    "box_loss": "Box loss",
    "cls_loss": "Class loss",
    "dfl_loss": "Distribution focal loss",
    "l1_loss": "Distance loss (L1)",
    "seg_loss": "Mask loss",
    "sem_loss": "Semantic loss",
    "pose_loss": "Key point loss",
    "kobj_loss": "Key point visibility loss",
    "rle_loss": "Key point likelihood loss",
    "angle_loss": "Angle loss",
    "ce_loss": "Cross-entropy loss",
    "dice_loss": "Dice loss",
    "aux_loss": "Auxiliary loss",
    "dlog_loss": "Logarithmic depth loss",
    "dgrad_loss": "Depth gradient loss",
    "loss": "Loss",
}
OWN_RATE: Final = re.compile(r"^lr/pg\d+$")
"""The rates as Ultralytics names them; those by part of the model say more."""
SYSTEM: Final = (
    ("cpu", "CPU", "cores", (("cpu", "cores busy"),)),
    ("gpu", "GPU", "share", (("gpu_utilization", "busy"),)),
    (
        "memory",
        "Memory",
        "bytes",
        (("memory_bytes", "trainer"), ("gpu_memory_bytes", "GPU")),
    ),
    ("loader", "Waiting for batches", "seconds", (("loader_wait_seconds", "an epoch"),)),
    ("read", "Read from storage", "bytes", (("read_bytes", "an epoch"),)),
    ("celsius", "GPU temperature", "celsius", (("gpu_celsius", "hottest"),)),
    ("watts", "GPU power", "watts", (("gpu_watts", "all GPUs"),)),
)
"""Id, title, unit and series of the charts of what a training used."""


@dataclass(frozen=True)
class Line:
    """A line of a chart: its series, and how it is drawn. `k` is the hue, from 1."""

    key: str
    label: str
    k: int
    dash: int = 0
    w: float | None = None


@dataclass(frozen=True)
class Chart:
    """A chart. `kind` is how its values are written, `source` the element with its data."""

    id: str
    title: str
    series: list[dict[str, Any]] = field(default_factory=list)
    kind: str = ""
    wide: bool = False
    source: str = "metrics"


def charts_of(names: Sequence[str], system: Iterable[str], deciding: str | None) -> list[Chart]:
    """Return the charts of a job: metrics, losses, rates, what else it has, and its use.

    Args:
        names: of the series of its epochs.
        system: names of what was measured of its use.
        deciding: the metric that chooses best.pt.
    """
    measured = set(system)
    return [
        *_metrics(names, deciding),
        *_losses(names),
        *_rates(names),
        *_others(names),
        *_use(measured),
    ]


def _metrics(names: Sequence[str], deciding: str | None) -> Iterator[Chart]:
    by_part: dict[str, list[str]] = {}
    for name in names:
        if name.startswith("metrics/"):
            found = PART_OF_METRIC.match(name)
            by_part.setdefault(found["part"] if found else "", []).append(name)
    for part, of_part in by_part.items():
        title = f"Metrics of {PARTS[part]}" if part and len(by_part) > 1 else "Metrics"
        yield _chart(f"metrics-{part or 'all'}", title, _metric_lines(of_part, deciding), wide=True)


def _metric_lines(names: Sequence[str], deciding: str | None) -> list[Line]:
    labels = {name: re.sub(r"\([BMP]\)$", "", short_metric(name)) for name in names}
    order = [*KNOWN_METRICS, *labels.values()]
    known = {name: KNOWN_METRICS[label] for name, label in labels.items() if label in KNOWN_METRICS}
    free = (
        (number % HUES + 1, number // HUES % DASHES)
        for number in range(HUES * DASHES + len(names))
        if (number % HUES + 1, number // HUES % DASHES) not in known.values()
    )
    lines = []
    for name in sorted(names, key=lambda name: (name != deciding, order.index(labels[name]))):
        hue, dash = known.get(name) or next(free)
        width = THICK if name == deciding else None
        lines.append(Line(name, _capitalized(labels[name]), hue, dash, width))
    return lines


def _losses(names: Sequence[str]) -> Iterator[Chart]:
    found = [name.partition("/")[2] for name in names if name.startswith(("train/", "val/"))]
    for loss in dict.fromkeys(found):
        lines = [
            Line(f"{split}/{loss}", split, hue, dash)
            for split, hue, dash in (("train", 1, 0), ("val", 2, 1))
            if f"{split}/{loss}" in names
        ]
        title = LOSSES.get(loss) or _capitalized(loss.replace("_", " "))
        yield _chart(f"loss-{loss}", title, lines)


def _rates(names: Sequence[str]) -> Iterator[Chart]:
    rates = [name for name in names if name.startswith("lr/")]
    by_part = [name for name in rates if not OWN_RATE.match(name)] or rates
    if by_part:
        yield _chart("rates", "Learning rates", rate_lines(by_part), kind="rate")


def rate_lines(names: Sequence[str]) -> list[Line]:
    """Return the lines of learning rates: a hue for each part of the model, a dash for each group.

    Args:
        names: such as `lr/backbone/weight`.
    """
    labels = [name.removeprefix("lr/") for name in names]
    parts = list(dict.fromkeys(label.partition("/")[0] for label in labels))
    groups = list(dict.fromkeys(label.partition("/")[2] for label in labels))
    return [
        Line(
            name,
            label,
            parts.index(label.partition("/")[0]) % HUES + 1,
            groups.index(label.partition("/")[2]) % DASHES,
        )
        for name, label in zip(names, labels, strict=True)
    ]


def _others(names: Sequence[str]) -> Iterator[Chart]:
    """Return a chart for each series that a plugin adds under a name of its own."""
    known = ("metrics/", "train/", "val/", "lr/")
    for number, name in enumerate(name for name in names if not name.startswith(known)):
        yield _chart(f"other-{number}", _capitalized(name), [Line(name, "value", 1)])


def _use(measured: set[str]) -> Iterator[Chart]:
    for id_, title, kind, series in SYSTEM:
        lines = [
            Line(key, label, 6 + 2 * number)
            for number, (key, label) in enumerate(series)
            if key in measured
        ]
        if lines:
            yield _chart(id_, title, lines, kind=kind, source="system")


def _chart(
    id_: str,
    title: str,
    lines: Sequence[Line],
    *,
    kind: str = "",
    wide: bool = False,
    source: str = "metrics",
) -> Chart:
    safe_id = "c-" + re.sub(r"[^A-Za-z0-9_-]", "-", id_)
    return Chart(safe_id, title, [asdict(line) for line in lines], kind, wide, source)


def _capitalized(text: str) -> str:
    return text if text.startswith("mAP") else text[:1].upper() + text[1:]
