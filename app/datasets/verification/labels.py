"""Check label files and report each fault with its line.

A file is good exactly if Ultralytics keeps its image (8.4.190, data/utils.py:435), with three
exceptions. They are refused although its scan keeps them, because training then fails:

- boxes where the task needs polygons (segment, obb, semantic): one such file ends the training
  (data/dataset.py:266, "requires equal numbers of boxes and segments"),
- a box of a pose that is infinite, or would be in pixels: the loss of the validation is NaN
  (utils/metrics.py: bbox_iou; all other boxes are compared with 1),
- a file that is larger than the limits.
"""

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from struct import Struct
from typing import Final

import numpy as np
import numpy.typing as npt

from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Remark, shown
from app.datasets.reports.report import Limits

BOX_COLUMNS: Final = 5
OBB_COLUMNS: Final = 9
MIN_POLYGON_COLUMNS: Final = 7
POINT_COLUMNS: Final = 3
"""Of a polygon of one point; Ultralytics keeps it among others."""

MAX_COORDINATE: Final = np.float32(1.01)
MIN_COORDINATE: Final = np.float32(-0.01)
MAX_POSE_BOX: Final = np.finfo(np.float32).max / np.float32(16_384)
"""Largest share of an image whose pixels are finite in float32, at the longest side allowed."""

SMALLEST_PLAIN: Final = 1e-30
"""Larger values are not 0 in float32."""

PLAIN_ROW: Final = Struct("5f")
MAX_REMARKS: Final = 20
KEYPOINT_TASKS: Final[frozenset[Task]] = frozenset({"pose", "detect"})
POLYGON_TASKS: Final[frozenset[Task]] = frozenset({"segment", "obb", "semantic"})

Values = npt.NDArray[np.float32]
Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelRules:
    """The rules for rows; `keypoints` is the kpt_shape of the data.yaml, if it has one."""

    task: Task
    classes: int
    keypoints: tuple[int, int] | None = None

    @property
    def pose_columns(self) -> int | None:
        """The number of columns of a row with keypoints."""
        if self.keypoints is None:
            return None
        return BOX_COLUMNS + self.keypoints[0] * self.keypoints[1]

    @property
    def box_columns(self) -> frozenset[int]:
        """The numbers of columns of a row that is read as a box."""
        return frozenset({BOX_COLUMNS, self.pose_columns or BOX_COLUMNS})


@dataclass(frozen=True)
class CheckedLabels:
    """A label file as training reads it; `text` keeps the digits of all values.

    `class_counts` counts the rows of a good file without duplicates, `objects` is their number.
    `rows` are these rows, (n, columns): class, box and keypoints; None if there are none. If they
    are polygons, the boxes are around them, and `polygons` has the points of each, (n, 2).
    """

    text: str
    class_counts: Counter[int]
    remarks: tuple[Remark, ...]
    is_good: bool
    objects: int = 0
    rows: Values | None = None
    polygons: Sequence[Values] = ()


@dataclass(frozen=True)
class _Line:
    number: int
    tokens: list[str]


@dataclass(frozen=True)
class _Table:
    """Rows in float32, as Ultralytics stores them: class, x, y, width, height, keypoints.

    `polygons` has the points of each row, (n, 2), or is empty if the rows are boxes.
    """

    values: Values
    polygons: list[Values]


def check_labels(content: bytes, rules: LabelRules, limits: Limits) -> CheckedLabels:
    """Check one label file. The remarks are at most 20, errors before warnings."""
    content = content.removeprefix(BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return _refused(Remark(Code.LABEL_NOT_UTF8, "Save label files as UTF-8 text.", line))
    numbered = enumerate(text.splitlines(), start=1)
    filled = (_Line(number, row.split()) for number, row in numbered if row.strip())
    lines = list(islice(filled, limits.max_label_rows + 1))
    if len(lines) > limits.max_label_rows:
        text = f"It has more than {limits.max_label_rows} rows."
        return _refused(Remark(Code.LABEL_TOO_LARGE, text, lines[-1].number))
    if not lines:
        return CheckedLabels("", Counter(), (), is_good=True)
    return _plain_labels(lines, rules) or _check_rows(lines, rules)


def _plain_labels(lines: Sequence[_Line], rules: LabelRules) -> CheckedLabels | None:
    """Return boxes so usual that nothing can be said about a row, or None.

    Most files are such; a full check of few rows costs as much as to decode a small image.
    """
    if rules.task == "pose" or rules.task in POLYGON_TASKS:
        return None
    classes: Counter[int] = Counter()
    rows: list[bytes] = []
    try:
        for line in lines:
            number, x, y, width, height = map(float, line.tokens)
            is_plain = (
                number.is_integer()
                and SMALLEST_PLAIN < x <= 1
                and SMALLEST_PLAIN < y <= 1
                and SMALLEST_PLAIN < width <= 1
                and SMALLEST_PLAIN < height <= 1
            )
            if not is_plain:
                return None
            classes[int(number)] += 1
            rows.append(PLAIN_ROW.pack(number, x, y, width, height))
    except (ValueError, OverflowError):
        return None
    if len(set(rows)) < len(rows) or not 0 <= min(classes) <= max(classes) < rules.classes:
        return None
    values = np.frombuffer(b"".join(rows), np.float32).reshape(len(rows), BOX_COLUMNS)
    text, objects = _text(lines), len(lines)
    return CheckedLabels(text, classes, (), is_good=True, objects=objects, rows=values)


def _text(lines: Sequence[_Line]) -> str:
    return "".join(" ".join(line.tokens) + "\n" for line in lines)


def _refused(*remarks: Remark) -> CheckedLabels:
    return CheckedLabels("", Counter(), remarks[:MAX_REMARKS], is_good=False)


def _check_rows(lines: Sequence[_Line], rules: LabelRules) -> CheckedLabels:
    faults = _wrong_columns(lines, rules)
    if faults:
        return _refused(*faults)
    table = _table(lines, rules)
    if table is None:
        return _refused(*_not_numbers(lines))
    faults = _wrong_values(lines, table, rules)
    if faults:
        return _refused(*faults)
    remarks = [*_without_size(lines, table), *_outside(lines, table, rules)]
    kept = _without_duplicates(table)
    numbers = table.values[:, 0].tolist()
    counts = Counter(int(numbers[row]) for row in kept)
    remarks += _repeated(lines, kept)
    is_whole = len(kept) == len(lines)
    return CheckedLabels(
        _text(lines),
        counts,
        tuple(remarks[:MAX_REMARKS]),
        is_good=True,
        objects=len(kept),
        rows=table.values if is_whole else table.values[kept],
        polygons=table.polygons if is_whole or not table.polygons else _at(kept, table.polygons),
    )


def _wrong_columns(lines: Sequence[_Line], rules: LabelRules) -> list[Remark]:
    held = {len(line.tokens) for line in lines}
    if rules.task == "pose":
        return _all_have(lines, {rules.pose_columns or 0}, "5 + keypoints x dimensions")
    shapes = held - rules.box_columns
    if max(shapes, default=0) > BOX_COLUMNS + 1:
        return _wrong_polygons(lines, rules)
    if rules.task in POLYGON_TASKS:
        return [
            Remark(
                Code.LABEL_COLUMNS,
                f"{len(line.tokens)} columns; a class and the x y pairs of a polygon are expected:"
                f" training for {rules.task} does not start with a box among its labels.",
                line.number,
            )
            for line in lines
        ]
    return _all_have(lines, rules.box_columns, "class, x, y, width, height")


def _all_have(
    lines: Sequence[_Line], columns: set[int] | frozenset[int], what: str
) -> list[Remark]:
    wanted = " or ".join(str(count) for count in sorted(columns))
    return [
        Remark(
            Code.LABEL_COLUMNS,
            f"{len(line.tokens)} columns; {wanted} are expected ({what}).",
            line.number,
        )
        for line in lines
        if len(line.tokens) not in columns
    ]


def _wrong_polygons(lines: Sequence[_Line], rules: LabelRules) -> list[Remark]:
    faults = []
    for line in lines:
        columns = len(line.tokens)
        if columns in rules.box_columns:
            text = "A box among polygons: Ultralytics drops an image that has both."
            faults.append(Remark(Code.LABEL_MIXED, text, line.number))
        elif columns < POINT_COLUMNS or columns % 2 == 0:
            text = f"{columns} columns; a class and x y pairs are expected."
            faults.append(Remark(Code.LABEL_COLUMNS, text, line.number))
    return faults


def _table(lines: Sequence[_Line], rules: LabelRules) -> _Table | None:
    """Return the values of the rows, or None if a value is no number."""
    columns = None if rules.task == "pose" else BOX_COLUMNS
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            if rules.task == "pose" or len(lines[0].tokens) in rules.box_columns:
                rows = [line.tokens[:columns] for line in lines]
                return _Table(np.array(rows, dtype=np.float32), [])
            classes = np.array([line.tokens[0] for line in lines], dtype=np.float32)
            polygons = [
                np.array(line.tokens[1:], dtype=np.float32).reshape(-1, 2) for line in lines
            ]
            return _Table(np.column_stack((classes, _boxes(polygons))), polygons)
    except ValueError:
        return None


def _boxes(polygons: Sequence[Values]) -> Values:
    """Return the box around each polygon (8.4.190, utils/ops.py: segments2boxes)."""
    corners = np.array([[*points.min(axis=0), *points.max(axis=0)] for points in polygons])
    low, high = corners[:, :2], corners[:, 2:]
    return np.concatenate(((low + high) / 2, high - low), axis=1)


def _not_numbers(lines: Sequence[_Line]) -> list[Remark]:
    return [_not_a_number(line) for line in lines if not all(map(_is_number, line.tokens))]


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _not_a_number(line: _Line) -> Remark:
    row = shown(" ".join(line.tokens))
    return Remark(Code.LABEL_NOT_A_NUMBER, f"Finite numbers are expected: {row}", line.number)


def _wrong_values(lines: Sequence[_Line], table: _Table, rules: LabelRules) -> list[Remark]:
    """Return the first fault of each row, by the conditions of Ultralytics."""
    values, points = table.values, _points(table, rules)
    number, box = values[:, 0], values[:, 1:BOX_COLUMNS]
    with np.errstate(invalid="ignore"):
        lowest, smallest = values.min(axis=1), box[:, 2:].min(axis=1)
        highest = np.maximum(points.max(axis=1), np.where(box > MAX_POSE_BOX, box, 0).max(axis=1))
        finite = np.isfinite(values[:, :BOX_COLUMNS]).all(axis=1) & np.isfinite(points).all(axis=1)
        finite &= ~np.isnan(lowest)
        in_classes = (number % 1 == 0) & (number >= 0) & (number < rules.classes)
        is_low = (lowest < 0) & ((lowest < MIN_COORDINATE) | (smallest < 0))
        is_good = finite & in_classes & (highest <= MAX_COORDINATE) & ~is_low
    faults = []
    for row in np.flatnonzero(~is_good)[:MAX_REMARKS].tolist():
        line = lines[row]
        if not finite[row]:
            faults.append(_not_a_number(line))
        elif not in_classes[row]:
            text = f"Class {number[row]:g}; integers from 0 to {rules.classes - 1} are expected."
            faults.append(Remark(Code.LABEL_CLASS, text, line.number))
        elif highest[row] > MAX_COORDINATE:
            text = f"Coordinates are fractions of the image, from 0 to 1; {highest[row]:g} is above"
            faults.append(Remark(Code.LABEL_OUT_OF_RANGE, f"{text} 1.", line.number))
        else:
            text = f"{lowest[row]:g} is below 0."
            faults.append(Remark(Code.LABEL_NEGATIVE, text, line.number))
    return faults


def _points(table: _Table, rules: LabelRules) -> Values:
    """Return the values of each row that must not exceed 1: keypoints, or the box."""
    if rules.task != "pose" or rules.keypoints is None:
        return table.values[:, 1:]
    count, dimensions = rules.keypoints
    keypoints = table.values[:, BOX_COLUMNS:].reshape(-1, count, dimensions)
    return keypoints[:, :, :2].reshape(len(table.values), -1)


def _without_duplicates(table: _Table) -> Sequence[int]:
    """Return the rows that training reads: the first of equal ones (data/utils.py:497-507).

    Boxes are compared by their values, where -0 is 0, and polygons by class and points.
    """
    rows = [row.tobytes() for row in table.values + np.float32(0)]
    if len(set(rows)) == len(rows):
        return range(len(rows))
    if table.polygons:
        pairs = zip(table.values[:, 0], table.polygons, strict=True)
        rows = [number.tobytes() + points.tobytes() for number, points in pairs]
    first = {row: index for index, row in reversed(list(enumerate(rows)))}
    return sorted(first.values())


def _at(kept: Sequence[int], polygons: Sequence[Values]) -> list[Values]:
    return [polygons[row] for row in kept]


def _repeated(lines: Sequence[_Line], kept: Sequence[int]) -> list[Remark]:
    if len(kept) == len(lines):
        return []
    repeated = sorted(set(range(len(lines))).difference(kept))
    text = "An earlier row is the same."
    return [Remark(Code.LABEL_DUPLICATE, text, lines[row].number) for row in repeated[:MAX_REMARKS]]


def _without_size(lines: Sequence[_Line], table: _Table) -> list[Remark]:
    flat = _lines_where(lines, (table.values[:, 3:BOX_COLUMNS] == 0).any(axis=1))
    if not flat:
        return []
    text = f"Objects without width or height: {len(flat)}. Training keeps them, but learns nothing."
    return [Remark(Code.LABEL_NO_SIZE, text, flat[0])]


def _outside(lines: Sequence[_Line], table: _Table, rules: LabelRules) -> list[Remark]:
    if table.polygons:
        low = np.array([points.min() for points in table.polygons])
        high = np.array([points.max() for points in table.polygons])
        what = "polygon"
    elif rules.task == "pose":
        low = high = table.values[:, 1:BOX_COLUMNS].max(axis=1)
        what = "box"
    else:
        return []
    outside = _lines_where(lines, (high > MAX_COORDINATE) | (low < MIN_COORDINATE))
    text = f"The {what} extends beyond the image."
    return [Remark(Code.LABEL_OUTSIDE, text, line) for line in outside[:MAX_REMARKS]]


def _lines_where(lines: Sequence[_Line], rows: Rows) -> list[int]:
    return [lines[row].number for row in np.flatnonzero(rows).tolist()]
