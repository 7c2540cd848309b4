"""The worst validation images as pictures: boxes to draw over a preview, and errors in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.web.formats import TIMES

KINDS: Final = {"missed": "Missed", "false": "False", "confused": "Confused"}
MOST_NAMED: Final = 6
"""Errors that the caption of an image names."""
WIDTH: Final = 640
"""Of an image without a preview: the width of what is drawn in its place."""
SCORES: Final = {
    "true_probability": "probability of the true class",
    "mean_iou": "mean IoU",
    "abs_rel": "absolute relative error",
    "rmse": "RMSE",
    "delta1": "delta 1",
}


@dataclass(frozen=True)
class Box:
    """An object to draw.

    Attributes:
        points: the corners as an SVG polygon has them.
        kind: `truth` or `prediction`, and the outcome: classes of the stylesheet.
        label: what is written beside it.
        x, y: where the label begins.
    """

    points: str
    kind: str
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class WorstPicture:
    """An image with the boxes over it, and its errors in words."""

    image: Mapping[str, Any]
    width: int
    height: int
    boxes: Sequence[Box]
    counts: str
    errors: Sequence[str]
    further_errors: int


def picture_of(image: Mapping[str, Any]) -> WorstPicture:
    """Return an image as the page shows it."""
    width, height = _size(image)
    objects = [("truth", each) for each in image["truths"]]
    objects += [("prediction", each) for each in image["predictions"]]
    boxes = [_box(kind, each, width, height) for kind, each in objects]
    errors = _counted([text for kind, each in objects if (text := _error(kind, each))])
    return WorstPicture(
        image=image,
        width=width,
        height=height,
        boxes=[box for box in boxes if box],
        counts=_counts(image),
        errors=errors[:MOST_NAMED],
        further_errors=len(errors[MOST_NAMED:]),
    )


def _size(image: Mapping[str, Any]) -> tuple[int, int]:
    if image["preview"]:
        return image["preview"]["width"], image["preview"]["height"]
    if image["width"] and image["height"]:
        return WIDTH, max(1, round(WIDTH * image["height"] / image["width"]))
    return WIDTH, WIDTH * 3 // 4


def _box(kind: str, found: Mapping[str, Any], width: int, height: int) -> Box | None:
    """Return where an object is drawn; None if it has no place in the image."""
    if found["corners"]:
        numbers = found["corners"]
        corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    elif found["box"]:
        x, y, across, down = found["box"]
        left, right, top, bottom = x - across / 2, x + across / 2, y - down / 2, y + down / 2
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    else:
        return None
    points = [(round(x * width, 1), round(y * height, 1)) for x, y in corners]
    label = found["class"]
    if kind == "prediction":
        label += f" {found['confidence']:.2f}"
    return Box(
        points=" ".join(f"{x},{y}" for x, y in points),
        kind=f"{kind} {found['outcome'] or ''}".strip(),
        label=label,
        x=max(0, min(x for x, _ in points)),
        y=max(14, min(y for _, y in points) - 4),
    )


def _error(kind: str, found: Mapping[str, Any]) -> str:
    """Return an error in words; empty for a hit, and for the second half of a confusion."""
    name, outcome = found["class"], found["outcome"]
    if kind == "truth" and outcome == "missed":
        return f"{name} missed"
    if kind == "truth" and outcome == "confused":
        return f"{name} taken for {found['predicted_class']}"
    if kind == "prediction" and outcome == "false":
        return f"false {name} {found['confidence']:.2f}"
    return ""


def _counted(texts: Sequence[str]) -> list[str]:
    """Return each text once, with how often it is there if it is several times."""
    return [
        f"{count} {TIMES} {text}" if count > 1 else text for text, count in Counter(texts).items()
    ]


def _counts(image: Mapping[str, Any]) -> str:
    counted = [f"{image[kind]} {kind}" for kind in KINDS if image[kind]]
    scores = [f"{SCORES.get(name, name)} {value:.3f}" for name, value in image["scores"].items()]
    return ", ".join([*counted, *scores])
