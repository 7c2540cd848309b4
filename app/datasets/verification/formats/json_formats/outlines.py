"""Outlines of masks, and one polygon from the several outlines of one object."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from app.datasets.verification.formats.json_formats.values import Outline

MAX_PAIRS: Final = 250_000
"""Pairs of points that are compared to join two outlines; of longer ones, some points are left out.
Without the limit the cost would grow with the square of the number of points."""


def outlines_of_mask(mask: npt.NDArray[np.uint8], origin: tuple[int, int]) -> list[Outline]:
    """Return the outer outline of each region of the mask; `origin` is its left top pixel.

    Holes are left out, as Ultralytics leaves them out (8.4.190, data/converter.py:341). A line of
    pixels becomes the rectangle that it covers.
    """
    found, _ = cv2.findContours(
        np.ascontiguousarray(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    return [_polygon(points.reshape(-1, 2).astype(np.float64) + origin) for points in found]


def _polygon(points: Outline) -> Outline:
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    if len(points) > 2 and left < right and top < bottom:  # noqa: PLR2004 -- a line has two points
        return points
    right, bottom = right + 1, bottom + 1
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def joined(outlines: Sequence[Outline]) -> Outline:
    """Join the outlines of one object to one polygon by lines between their nearest points.

    The same points in the same order as Ultralytics' merge_multi_segment (8.4.190,
    data/converter.py:574), except for very long outlines.
    """
    if len(outlines) == 1:
        return outlines[0]
    parts = list(outlines)
    joints: list[list[int]] = [[] for _ in parts]
    for index in range(1, len(parts)):
        before, after = _nearest(parts[index - 1], parts[index])
        joints[index - 1].append(before)
        joints[index].append(after)
    there: list[Outline] = []
    back: list[Outline] = []
    for part, ends in zip(parts, joints, strict=True):
        forth, rest = _opened(part, ends)
        there.append(forth)
        if rest is not None:
            back.append(rest)
    return np.concatenate([*there, *reversed(back)])


def _opened(part: Outline, ends: list[int]) -> tuple[Outline, Outline | None]:
    """Cut a closed outline at its joints: the way from the first to the second, and the rest."""
    if len(ends) == 2 and ends[0] > ends[1]:  # noqa: PLR2004 -- neither first nor last
        part, ends = part[::-1], [len(part) - 1 - end for end in ends]
    closed = np.roll(part, -ends[0], axis=0)
    closed = np.concatenate([closed, closed[:1]])
    if len(ends) == 1:
        return closed, None
    middle = ends[1] - ends[0]
    return closed[: middle + 1], closed[middle:]


def _nearest(one: Outline, other: Outline) -> tuple[int, int]:
    steps = [1, 1]
    limit = int(MAX_PAIRS**0.5)
    if len(one) * len(other) > MAX_PAIRS:
        steps = [-(-len(points) // limit) for points in (one, other)]
    first, second = one[:: steps[0]], other[:: steps[1]]
    distances = ((first[:, None, :] - second[None, :, :]) ** 2).sum(-1)
    row, column = np.unravel_index(np.argmin(distances), distances.shape)
    return int(row) * steps[0], int(column) * steps[1]
