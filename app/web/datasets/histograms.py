"""Histograms as drawings and as tables, and the heat map of where boxes are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

WIDTH, HEIGHT, GAP = 480.0, 96.0, 1.0
SHARES: Final = "share of the image"


@dataclass(frozen=True)
class RangeCount:
    """One bar, in units of the drawing, with its range and its count."""

    x: float
    y: float
    width: float
    height: float
    label: str
    count: int


@dataclass(frozen=True)
class Histogram:
    """A histogram.

    Attributes:
        title: what was measured.
        unit: of the values.
        bars: without the empty ones at both ends.
        first: the lower end of the first bar.
        last: the upper end of the last bar.
        words: the histogram in one sentence.
    """

    title: str
    unit: str
    bars: Sequence[RangeCount]
    first: str
    last: str
    words: str


@dataclass(frozen=True)
class CellShare:
    """A cell of the heat map with its share of the most frequent cell."""

    x: int
    y: int
    share: float


def _percent(value: float) -> str:
    return f"{value * 100:.2g} %" if value < 1 else "100 %"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def histograms_of(statistics: Mapping[str, Any], task: str) -> Sequence[Histogram]:
    """Return the histograms of a version's statistics; those without a value are left out."""
    shown = []
    if task != "classify":
        shown.append(_counts("Objects in an image", statistics["objects_per_image"]))
    boxes = statistics["boxes"]
    if boxes is not None:
        shown += [
            _ranges("Box area", SHARES, boxes["area"], _percent),
            _ranges("Box width", SHARES, boxes["width"], _percent),
            _ranges("Box height", SHARES, boxes["height"], _percent),
            _ranges("Box aspect", "width : height", boxes["aspect"], _number),
        ]
    shown += [
        _counts("Image width", statistics["image_width"], "pixels"),
        _counts("Image height", statistics["image_height"], "pixels"),
        _ranges("Image aspect", "width : height", statistics["image_aspect"], _number),
    ]
    return [each for each in shown if each.bars]


def heat_of(statistics: Mapping[str, Any]) -> Sequence[CellShare]:
    """Return the cells in which the centre of a box lies; none if there are no boxes."""
    centres = (statistics["boxes"] or {}).get("centres", [])
    most = max((count for row in centres for count in row), default=0)
    return [
        CellShare(x, y, round(count / most, 3))
        for y, row in enumerate(centres)
        for x, count in enumerate(row)
        if count
    ]


def _counts(title: str, measured: Mapping[str, Any], unit: str = "") -> Histogram:
    """Return a histogram of whole numbers: the edge 8 with the next edge 11 is `8 to 10`."""

    def label(low: float, high: float) -> str:
        last = high - 1
        return f"{low:,.0f}" if last <= low else f"{low:,.0f} to {last:,.0f}"

    return _histogram(title, unit, measured, label)


def _ranges(
    title: str, unit: str, measured: Mapping[str, Any], write: Callable[[float], str]
) -> Histogram:
    return _histogram(title, unit, measured, lambda low, high: f"{write(low)} to {write(high)}")


def _sentence(labels: Mapping[int, str], top: int, counts: Sequence[int], unit: str) -> str:
    if len(labels) == 1:
        return f"All {counts[top]:,}: {labels[top]} {unit}".strip() + "."
    return f"Most often {labels[top]}: {counts[top]:,} of {sum(counts):,}."


def _histogram(
    title: str, unit: str, measured: Mapping[str, Any], label: Callable[[float, float], str]
) -> Histogram:
    edges, counts = measured["edges"], measured["counts"]
    filled = [place for place, count in enumerate(counts) if count]
    if not filled:
        return Histogram(title, unit, [], "", "", "")
    places = range(filled[0], filled[-1] + 1)
    labels = {place: label(edges[place], edges[place + 1]) for place in places}
    most = max(counts)
    width = WIDTH / len(places)
    bars = [
        RangeCount(
            x=round(width * step, 1),
            y=round(HEIGHT * (1 - counts[place] / most), 1),
            width=round(max(width - GAP, width / 2), 1),
            height=round(HEIGHT * counts[place] / most, 1),
            label=labels[place],
            count=counts[place],
        )
        for step, place in enumerate(places)
    ]
    top = max(places, key=lambda place: counts[place])
    return Histogram(
        title=title,
        unit=unit,
        bars=bars,
        first=labels[places[0]].partition(" to ")[0],
        last=labels[places[-1]].rpartition(" to ")[2],
        words=_sentence(labels, top, counts, unit),
    )
