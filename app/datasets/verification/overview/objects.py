"""The objects of one image as numbers, from its verified labels."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from app.datasets.verification.labels import BOX_COLUMNS, CheckedLabels, LabelRules, Values

MAX_OBJECTS: Final = 1000
MAX_NUMBERS: Final = 4000
"""Coordinates of one image: the objects that do not fit are left out."""

DECIMALS: Final = 5
CORNERS: Final = 4

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class KeptObjects:
    """The objects of an image that are shown, without those that are left out.

    `rows` are class, box and keypoints, (n, columns). `polygons` has their points, or is empty.
    `total` counts all objects.
    """

    rows: Values
    polygons: Sequence[Values]
    total: int

    @classmethod
    def of(cls, labels: CheckedLabels | None, classes: Collection[int]) -> Self:
        """Take the objects from the labels; without labels, one object for each class."""
        if labels is None:
            rows = np.array(sorted(classes)[:MAX_OBJECTS], np.float32).reshape(-1, 1)
            return cls(rows, (), len(classes))
        if labels.rows is None:
            return cls(np.zeros((0, BOX_COLUMNS), np.float32), (), 0)
        if not labels.polygons:
            most = min(MAX_OBJECTS, MAX_NUMBERS // labels.rows.shape[1])
            return cls(labels.rows[:most].copy(), (), labels.objects)
        kept = list(_that_fit(labels.polygons))
        polygons = [labels.polygons[place] for place in kept]
        return cls(labels.rows[kept], polygons, labels.objects)

    def as_json(self, rules: LabelRules) -> list[JsonObject]:
        """Return the objects in the order of their rows; see `SampleObject`."""
        numbers = self.rows[:, 0].astype(int).tolist()
        if self.rows.shape[1] == 1:
            return [{"class": number} for number in numbers]
        if self.polygons and rules.task != "detect":
            pairs = zip(numbers, self.polygons, strict=True)
            return [{"class": number} | _outline(points, rules) for number, points in pairs]
        boxes = _rounded(self.rows[:, 1:BOX_COLUMNS])
        keypoints = self._keypoints(rules)
        return [
            {"class": number, "box": box} | more
            for number, box, more in zip(numbers, boxes, keypoints, strict=True)
        ]

    def _keypoints(self, rules: LabelRules) -> list[JsonObject]:
        if rules.task != "pose" or rules.keypoints is None:
            return [{}] * len(self.rows)
        shape = (len(self.rows), *rules.keypoints)
        return [
            {"keypoints": keypoints}
            for keypoints in _rounded(self.rows[:, BOX_COLUMNS:].reshape(shape))
        ]


def _that_fit(polygons: Sequence[Values]) -> Iterable[int]:
    left = MAX_NUMBERS
    for place, points in enumerate(polygons[:MAX_OBJECTS]):
        if points.size <= left:
            left -= points.size
            yield place


def _outline(points: Values, rules: LabelRules) -> JsonObject:
    is_rotated_box = rules.task == "obb" and len(points) == CORNERS
    return {"corners" if is_rotated_box else "polygon": _rounded(points.reshape(-1))}


def _rounded(values: Values) -> list[Any]:
    finite = values.astype(np.float64)
    finite[~np.isfinite(finite)] = 0
    rounded: list[Any] = finite.round(DECIMALS).tolist()
    return rounded
