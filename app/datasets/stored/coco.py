"""Label rows of YOLO as annotations of COCO JSON.

A category has the number of its class plus one. Coordinates are in pixels, with all their digits,
so that a label is read back as it was.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final, Self

BOX_COLUMNS: Final = 5
VISIBLE: Final = 2


@dataclass(frozen=True)
class CocoCategories:
    """The classes of a dataset, and its keypoints as (number, values of each) if it has some."""

    names: Sequence[str]
    keypoints: tuple[int, int] | None = None
    keypoint_names: Mapping[int, Sequence[str]] | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the classes of a data.yaml that the verifier wrote."""
        names = [str(name) for _, name in sorted(fields["names"].items())]
        shape = fields.get("kpt_shape")
        return cls(names, tuple(shape) if shape else None, fields.get("kpt_names"))

    @property
    def pose_columns(self) -> int | None:
        """The number of columns of a row with keypoints."""
        return None if self.keypoints is None else BOX_COLUMNS + prod(self.keypoints)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the categories of the JSON."""
        return [
            {"id": number + 1, "name": name, **self._keypoints_of(number)}
            for number, name in enumerate(self.names)
        ]

    def _keypoints_of(self, number: int) -> dict[str, Any]:
        if self.keypoints is None:
            return {}
        names = (self.keypoint_names or {}).get(number)
        return {"keypoints": list(names or map(str, range(1, self.keypoints[0] + 1)))}


def annotations_of(
    label: bytes, size: tuple[int, int], categories: CocoCategories
) -> Iterator[dict[str, Any]]:
    """Yield the annotations of a label file, without ids.

    Args:
        label: rows of class and coordinates, as fractions of the image.
        size: width and height of the image in pixels.
        categories: tells how many keypoints rows with keypoints have; others are boxes or polygons.
    """
    pose_columns = categories.pose_columns
    for row in label.decode().splitlines():
        columns = row.split()
        if not columns:
            continue
        values = [float(column) for column in columns[1:]]
        if categories.keypoints is not None and len(columns) == pose_columns:
            content = _pose(values, size, categories.keypoints)
        elif len(columns) == BOX_COLUMNS:
            content = _box(values, size)
        else:
            content = _polygon(values, size)
        yield {"category_id": int(float(columns[0])) + 1, "iscrowd": 0, **content}


def _box(values: Sequence[float], size: tuple[int, int]) -> dict[str, Any]:
    x, y, width, height = values
    left, top = (x - width / 2) * size[0], (y - height / 2) * size[1]
    box = [left, top, width * size[0], height * size[1]]
    return {"bbox": box, "area": box[2] * box[3]}


def _polygon(values: Sequence[float], size: tuple[int, int]) -> dict[str, Any]:
    xs = [x * size[0] for x in values[0::2]]
    ys = [y * size[1] for y in values[1::2]]
    points = [value for point in zip(xs, ys, strict=True) for value in point]
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    return {"bbox": box, "area": _area(xs, ys), "segmentation": [points]}


def _area(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the area of a polygon by the shoelace formula."""
    doubled = sum(xs[at - 1] * ys[at] - xs[at] * ys[at - 1] for at in range(len(xs)))
    return abs(doubled) / 2


def _pose(
    values: Sequence[float], size: tuple[int, int], keypoints: tuple[int, int]
) -> dict[str, Any]:
    number, held = keypoints
    points: list[float] = []
    for at in range(number):
        x, y, *visible = values[4 + at * held : 4 + (at + 1) * held]
        is_marked = (x, y) != (0, 0)
        seen = visible[0] if visible else VISIBLE * is_marked
        points += [x * size[0], y * size[1], int(seen)]
    marked = sum(seen > 0 for seen in points[2::3])
    return {**_box(values[:4], size), "keypoints": points, "num_keypoints": marked}
