"""Turn label rows in pixels into fractions of their image.

Some formats do not say how large an image is, so their rows wait until the image is decoded.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Remark
from app.datasets.verification.annotations import box_row, clipped, polygon_row, row
from app.datasets.verification.labels import BOX_COLUMNS, LabelRules

Size = tuple[int, int]
UNLABELLED: Final = {2: (-0.005, -0.005), 3: (0.0, 0.0, 0.0)}
"""What Ultralytics reads as a keypoint that is not labelled (8.4.190, data/utils.py:512)."""


@dataclass(frozen=True)
class FractionRows:
    """Label rows in fractions, with remarks about what was cut off or left out."""

    rows: bytes
    remarks: tuple[Remark, ...]


def to_fractions(rows: bytes, size: Size, rules: LabelRules) -> FractionRows:
    """Divide rows in pixels by `size`, the (width, height) of their image, and cut them there."""
    written: list[bytes] = []
    cut = left_out = 0
    for number, values in _numbers(rows):
        fractions = _row(number, values, size, rules)
        if fractions is None:
            left_out += 1
            continue
        written.append(fractions)
        cut += _is_outside(values, size, rules)
    remarks = []
    if cut:
        text = f"Objects that were cut at the border of the image: {cut}."
        remarks.append(Remark(Code.ANNOTATION_CLIPPED, text))
    if left_out:
        text = f"Objects that have no area inside the image and are left out: {left_out}."
        remarks.append(Remark(Code.ANNOTATION_IGNORED, text))
    return FractionRows(b"".join(written), tuple(remarks))


def _numbers(rows: bytes) -> Iterator[tuple[int, list[float]]]:
    for line in rows.splitlines():
        number, *values = line.split()
        yield int(number), [float(value) for value in values]


def _row(number: int, values: list[float], size: Size, rules: LabelRules) -> bytes | None:
    if not all(map(math.isfinite, values)):
        return None
    if not _is_box(values, rules):
        return polygon_row(number, list(zip(values[::2], values[1::2], strict=True)), size)
    if len(values) < BOX_COLUMNS:
        return box_row(number, _corners(values), size)
    left, top, right, bottom = clipped(_corners(values), size)
    if right <= left or bottom <= top:
        return None
    box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    return row(number, [*box, *_keypoints(values[BOX_COLUMNS - 1 :], size, rules)])


def _is_box(values: Sequence[float], rules: LabelRules) -> bool:
    return len(values) + 1 in rules.box_columns


def _corners(values: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = values[: BOX_COLUMNS - 1]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _keypoints(values: Sequence[float], size: Size, rules: LabelRules) -> Iterator[float]:
    """Yield the keypoints in fractions; one outside the image becomes one that is not labelled."""
    _, dimensions = rules.keypoints or (0, 2)
    for start in range(0, len(values), dimensions):
        x, y, *visibility = values[start : start + dimensions]
        if 0 <= x <= size[0] and 0 <= y <= size[1]:
            yield from (x / size[0], y / size[1], *visibility)
        else:
            yield from UNLABELLED[dimensions]


def _is_outside(values: Sequence[float], size: Size, rules: LabelRules) -> bool:
    """Return whether a box or a polygon extends beyond the image by more than rounding."""
    if _is_box(values, rules):
        left, top, right, bottom = _corners(values)
        xs, ys = [left, right], [top, bottom]
    else:
        xs, ys = list(values[::2]), list(values[1::2])
    return min(*xs, *ys) < -1 or max(xs) > size[0] + 1 or max(ys) > size[1] + 1
