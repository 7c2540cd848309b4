"""Samples as drawings: the objects of an image as outlines over it, one path for each class."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

SIDE: Final = 1000
"""Width of a drawing in its own units; the height follows from the image."""
HUES: Final = 8
DASHES: Final = ("none", "6 4", "2 3", "10 3 2 3")
MAX_KEYS: Final = 12
OTHER: Final = "other"

Sample = Mapping[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True)
class Key:
    """How a class is drawn: its colour and its dashes tell it apart from other classes."""

    hue: int
    dashes: str


@dataclass(frozen=True)
class ClassShape:
    """All objects of one class in a sample.

    Attributes:
        group: what shows and hides them: the number of the class, or `other`.
        key: how they are drawn.
        path: the outlines of the objects, as SVG writes a path; may be empty.
        points: their key points, as a path of dots; may be empty.
    """

    group: str
    key: Key
    path: str
    points: str


@dataclass(frozen=True)
class SamplePicture:
    """A sample as a drawing, `SIDE` units wide.

    Attributes:
        href: of the preview.
        file: the path of the image in the version.
        name: the path without the folder that all images share.
        height: of the drawing.
        outlines: by class.
        words: which objects the image has.
    """

    href: str
    file: str
    name: str
    height: int
    outlines: Sequence[ClassShape]
    words: str


@dataclass(frozen=True)
class LegendItem:
    """A class, or all classes that have no entry of their own, in the legend of drawings."""

    group: str
    name: str
    key: Key | None


@dataclass(frozen=True)
class PictureGroup:
    """Drawings with their legend, which is empty where no outline is drawn."""

    drawings: Sequence[SamplePicture]
    legend: Sequence[LegendItem]


def key_of(number: int) -> Key:
    """Return how a class is drawn; 32 classes differ."""
    return Key(number % HUES + 1, DASHES[(number + number // HUES) % len(DASHES)])


def album_of(samples: Sequence[Sample], classes: Sequence[str]) -> PictureGroup:
    """Return samples of the API as drawings.

    Args:
        samples: as `GET /v1/datasets/{reference}/samples` lists them.
        classes: the names of all classes, in class order.
    """
    shown = Counter(each["class"] for sample in samples for each in sample["objects"])
    named = sorted(number for number, _ in shown.most_common(MAX_KEYS))
    drawings = [_drawing(each, classes, frozenset(named)) for each in samples]
    if not any(each.path or each.points for drawing in drawings for each in drawing.outlines):
        return PictureGroup(drawings, [])
    legend = [LegendItem(str(number), name_of(classes, number), key_of(number)) for number in named]
    if len(shown) > len(named):
        count = len(shown) - len(named)
        legend.append(LegendItem(OTHER, f"{count:,} other classes", None))
    return PictureGroup(drawings, legend)


def name_of(classes: Sequence[str], number: int) -> str:
    """Return the name of a class, or its number where the name is not known."""
    return classes[number] if number < len(classes) else f"class {number}"


def _drawing(sample: Sample, classes: Sequence[str], named: frozenset[int]) -> SamplePicture:
    height = max(1, round(SIDE * sample["height"] / max(1, sample["width"])))
    by_class = defaultdict(list)
    for each in sample["objects"]:
        by_class[each["class"]].append(each)
    outlines = [
        ClassShape(
            group=str(number) if number in named else OTHER,
            key=key_of(number),
            path="".join(_outline(each, height) for each in objects),
            points="".join(_points(each, height) for each in objects),
        )
        for number, objects in sorted(by_class.items())
    ]
    return SamplePicture(
        href=sample["preview"]["href"],
        file=sample["file"],
        name=sample["file"].removeprefix("images/"),
        height=height,
        outlines=outlines,
        words=_words(sample, classes),
    )


def _words(sample: Sample, classes: Sequence[str]) -> str:
    """Return what an image shows, such as `15 RBC, 2 WBC`."""
    objects, total = sample["objects"], sample["objects_total"]
    if not objects:
        return "no objects" if not total else f"{total:,} objects"
    counts = Counter(each["class"] for each in objects)
    is_counted = "box" in objects[0] or "polygon" in objects[0] or "corners" in objects[0]
    words = [
        f"{count:,} {name_of(classes, number)}" if is_counted else name_of(classes, number)
        for number, count in sorted(counts.items())
    ]
    left_out = total - len(objects)
    return ", ".join(words) + (f", and {left_out:,} objects that are not drawn" if left_out else "")


def _outline(each: Mapping[str, Any], height: int) -> str:
    for name in ("polygon", "corners"):
        if each.get(name):
            return _closed([*_pairs(each[name])], height)
    if not each.get("box"):
        return ""
    x, y, wide, high = each["box"]
    left, right, top, bottom = x - wide / 2, x + wide / 2, y - high / 2, y + high / 2
    return _closed([(left, top), (right, top), (right, bottom), (left, bottom)], height)


def _pairs(numbers: Sequence[float]) -> Iterator[Point]:
    yield from zip(numbers[::2], numbers[1::2], strict=False)


def _closed(points: Sequence[Point], height: int) -> str:
    """Return a closed line; points that are equal in the drawing's units are left out."""
    placed: list[str] = []
    for point in points:
        text = _place(point, height)
        if not placed or text != placed[-1]:
            placed.append(text)
    return f"M{'L'.join(placed)}Z"


def _points(each: Mapping[str, Any], height: int) -> str:
    """Return the key points that are in the image: those at 0, 0 or of visibility 0 are not."""
    return "".join(
        f"M{_place((x, y), height)}h0"
        for x, y, *visibility in each.get("keypoints") or []
        if (x or y) and 0 not in visibility
    )


def _place(point: Point, height: int) -> str:
    return f"{round(point[0] * SIDE)} {round(point[1] * height)}"
