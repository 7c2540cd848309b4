"""Check label files row by row and report each fault with its line.

A file is good exactly if Ultralytics would keep its image (8.4.190, data/utils.py:435). The rules
are stricter where Ultralytics would train on invalid values: inf, a box of a pose outside the
image, or rows of another task (obb needs 9 columns, polygons need 3 or more points).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from app.core.tasks import Task
from app.datasets.archives.findings import Code, Remark, shown
from app.datasets.archives.report import Limits

BOX_COLUMNS: Final = 5
OBB_COLUMNS: Final = 9
MIN_POLYGON_COLUMNS: Final = 7
MAX_COORDINATE: Final = 1.01
MIN_COORDINATE: Final = -0.01
MAX_REMARKS: Final = 20
KEYPOINT_TASKS: Final[frozenset[Task]] = frozenset({"pose", "detect"})
POLYGON_TASKS: Final[frozenset[Task]] = frozenset({"segment", "obb", "semantic"})

Row = npt.NDArray[np.float32]


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


@dataclass(frozen=True)
class CheckedLabels:
    """A label file as training reads it; `text` keeps the digits of all values.

    `class_counts` counts rows, `objects` the rows that are left without duplicates.
    """

    text: str
    class_counts: Counter[int]
    remarks: tuple[Remark, ...]
    is_good: bool
    objects: int = 0


@dataclass(frozen=True)
class _Line:
    number: int
    tokens: list[str]


def check_labels(content: bytes, rules: LabelRules, limits: Limits) -> CheckedLabels:
    """Check one label file. The remarks are at most 20, errors before warnings."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return _refused(Remark(Code.LABEL_NOT_UTF8, "Save label files as UTF-8 text.", line))
    numbered = enumerate(text.splitlines(), start=1)
    filled = (_Line(number, row.split()) for number, row in numbered if row.strip())
    lines = list(islice(filled, limits.max_label_rows + 1))
    if len(lines) > limits.max_label_rows:
        text = f"It has more than {limits.max_label_rows} rows."
        return _refused(Remark(Code.LABEL_TOO_LARGE, text, lines[-1].number))
    faults = _wrong_columns(lines, rules)
    if faults:
        return _refused(*faults[:MAX_REMARKS])
    return _judge_values(lines, rules)


def _refused(*remarks: Remark) -> CheckedLabels:
    return CheckedLabels("", Counter(), remarks, is_good=False)


def _wrong_columns(lines: Sequence[_Line], rules: LabelRules) -> list[Remark]:
    if rules.task == "pose":
        return _all_have(lines, {rules.pose_columns or 0}, "5 + keypoints x dimensions")
    boxes = {BOX_COLUMNS} | ({rules.pose_columns} if rules.pose_columns else set())
    shapes = [line for line in lines if len(line.tokens) not in boxes]
    has_polygons = any(len(line.tokens) > BOX_COLUMNS + 1 for line in shapes)
    if not has_polygons and rules.task not in POLYGON_TASKS:
        return _all_have(lines, boxes, "class, x, y, width, height")
    return _wrong_polygons(lines, rules, boxes)


def _all_have(lines: Sequence[_Line], columns: set[int], what: str) -> list[Remark]:
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


def _wrong_polygons(lines: Sequence[_Line], rules: LabelRules, boxes: set[int]) -> list[Remark]:
    faults = []
    for line in lines:
        columns = len(line.tokens)
        if columns in boxes and rules.task not in POLYGON_TASKS:
            text = "A box among polygons: Ultralytics drops an image that has both."
            faults.append(Remark(Code.LABEL_MIXED, text, line.number))
        elif rules.task == "obb" and columns != OBB_COLUMNS:
            text = f"{columns} columns; 9 are expected (class and four corners)."
            faults.append(Remark(Code.LABEL_COLUMNS, text, line.number))
        elif columns < MIN_POLYGON_COLUMNS or columns % 2 == 0:
            text = f"{columns} columns; a class and three or more x y pairs are expected."
            faults.append(Remark(Code.LABEL_COLUMNS, text, line.number))
    return faults


def _judge_values(lines: Sequence[_Line], rules: LabelRules) -> CheckedLabels:
    remarks: list[Remark] = []
    counts: Counter[int] = Counter()
    seen: set[bytes] = set()
    rows: list[Row] = []
    is_good = True
    for line in lines:
        row = _numbers(line)
        fault = row if isinstance(row, Remark) else _row_fault(row, line.number, rules)
        if isinstance(row, Remark) or fault is not None:
            is_good = False
            remarks.extend([fault] if fault else [])
            continue
        rows.append(row)
        counts[int(row[0])] += 1
        remarks.extend(_row_warnings(row, line.number, seen, rules))
    text = "".join(" ".join(line.tokens) + "\n" for line in lines)
    faults_first = sorted(remarks, key=lambda remark: remark.code.severity)
    kept = tuple(faults_first[:MAX_REMARKS])
    return CheckedLabels(text, counts, kept, is_good, _objects(rows, rules))


def _objects(rows: Sequence[Row], rules: LabelRules) -> int:
    """Return the number of rows without duplicates (Ultralytics 8.4.190, data/utils.py:497-502).

    A box is compared by its values, keypoints included only where the task is pose, and a polygon
    by its bytes.
    """
    if any(not _is_box(row, rules) for row in rows):
        return len({row.tobytes() for row in rows})
    columns = rules.pose_columns if rules.task == "pose" else BOX_COLUMNS
    return len(np.unique([row[:columns] for row in rows], axis=0)) if rows else 0


def _numbers(line: _Line) -> Row | Remark:
    """Return the row in float32, as Ultralytics stores it."""
    try:
        values = [float(token) for token in line.tokens]
    except ValueError:
        values = [math.nan]
    row = " ".join(line.tokens)
    if not all(map(math.isfinite, values)) or "_" in row or not row.isascii():
        return Remark(
            Code.LABEL_NOT_A_NUMBER, f"Finite numbers are expected: {shown(row)}", line.number
        )
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float32)


def _row_fault(row: Row, line: int, rules: LabelRules) -> Remark | None:
    number = float(row[0])
    if not number.is_integer() or not 0 <= number < rules.classes:
        text = f"Class {number:g}; integers from 0 to {rules.classes - 1} are expected."
        return Remark(Code.LABEL_CLASS, text, line)
    box, points = _box_and_points(row, rules)
    if max(box.max(), points.max()) > np.float32(MAX_COORDINATE):
        text = f"Coordinates are fractions of the image, from 0 to 1; {row[1:].max():g} is above 1."
        return Remark(Code.LABEL_OUT_OF_RANGE, text, line)
    values = row if rules.pose_columns == len(row) and rules.task == "pose" else box
    lowest = values.min()
    if lowest < 0 and (lowest < np.float32(MIN_COORDINATE) or box[2:4].min() < 0):
        return Remark(Code.LABEL_NEGATIVE, f"{lowest:g} is below 0.", line)
    return None


def _is_box(row: Row, rules: LabelRules) -> bool:
    if rules.task == "pose":
        return True
    return len(row) in {BOX_COLUMNS, rules.pose_columns}


def _box_and_points(row: Row, rules: LabelRules) -> tuple[Row, Row]:
    """Return the box (x, y, width, height) and the points that must not exceed the upper bound."""
    if not _is_box(row, rules):
        xy = row[1:].reshape(-1, 2)
        low, high = xy.min(axis=0), xy.max(axis=0)
        box = np.concatenate(((low + high) / 2, high - low))
        return box, box
    box = row[1:BOX_COLUMNS]
    if rules.task == "pose" and rules.keypoints:
        return box, row[BOX_COLUMNS:].reshape(-1, rules.keypoints[1])[:, :2]
    return box, box


def _row_warnings(row: Row, line: int, seen: set[bytes], rules: LabelRules) -> list[Remark]:
    warnings = []
    key = row.tobytes()
    if key in seen:
        warnings.append(Remark(Code.LABEL_DUPLICATE, "An earlier row is the same.", line))
    seen.add(key)
    coordinates = row[1:]
    if not _is_box(row, rules) and (
        coordinates.max() > np.float32(MAX_COORDINATE)
        or coordinates.min() < np.float32(MIN_COORDINATE)
    ):
        warnings.append(Remark(Code.LABEL_OUTSIDE, "The polygon extends beyond the image.", line))
    return warnings
