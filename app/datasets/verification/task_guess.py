"""Infer the task of a dataset with label files from its data.yaml and the columns of its labels."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code
from app.datasets.verification.dataset_yaml import DatasetFields
from app.datasets.verification.labels import BOX_COLUMNS, MIN_POLYGON_COLUMNS, OBB_COLUMNS
from app.datasets.verification.members import MemberReader

MAX_LABEL_FILES: Final = 500
MAX_ROWS: Final = 100
PREFIX_BYTES: Final = 64 * 1024
BOX: Final = "box"
CORNERS: Final = "corners"
KEYPOINTS: Final = "keypoints"
KEYPOINT_VALUES: Final = 3
VISIBLE: Final = b"2"
VISIBILITIES: Final = frozenset({b"0", b"1", VISIBLE})
POLYGON: Final = "polygon"


def guess_task(labels: Sequence[str], fields: DatasetFields, members: MemberReader) -> Task | None:
    """Return the task that most label files fit.

    Files whose rows all have nine columns fit two tasks; if they are the majority, a finding asks
    for the task and None is returned. If no file fits any task, it is detect: what is wrong with
    its rows is then reported for each file.
    """
    if fields.kpt_shape is not None:
        return "pose"
    kinds = Counter(filter(None, (_kind_of(path, members) for path in _sampled(labels))))
    corners, polygons = kinds[CORNERS], kinds[POLYGON]
    if kinds[KEYPOINTS] > kinds[BOX] + corners + polygons:
        members.findings.add(
            Code.KPT_SHAPE_MISSING,
            "The rows are boxes with keypoints (x, y, visibility). Add `kpt_shape: [keypoints, 3]`"
            " to the data.yaml.",
        )
        return None
    if not kinds or kinds[BOX] >= corners + polygons:
        return "detect"
    if polygons:
        return "segment"
    members.findings.add(
        Code.TASK_NEEDED,
        "Every row has a class and four points. Send `task`: obb if they are the corners of an"
        " oriented box, segment if they are an outline.",
        fixes=[{"task": "obb"}, {"task": "segment"}],
    )
    return None


def _sampled(labels: Sequence[str]) -> Iterable[str]:
    step = max(1, len(labels) // MAX_LABEL_FILES)
    return islice(labels, 0, None, step)


def _kind_of(path: str, members: MemberReader) -> str | None:
    """Return what most rows of a label file are; None if they are of no kind."""
    lines = members.prefix(path, PREFIX_BYTES).splitlines()[:MAX_ROWS]
    rows = [line.split() for line in lines if line.strip()]
    kinds = Counter(filter(None, map(_kind_of_row, rows)))
    return kinds.most_common(1)[0][0] if kinds else None


def _kind_of_row(row: Sequence[bytes]) -> str | None:
    columns = len(row)
    visibilities = row[BOX_COLUMNS + KEYPOINT_VALUES - 1 :: KEYPOINT_VALUES]
    if (columns - BOX_COLUMNS) % KEYPOINT_VALUES == 0 and VISIBLE in visibilities:
        return KEYPOINTS if VISIBILITIES.issuperset(visibilities) else POLYGON
    if columns == BOX_COLUMNS:
        return BOX
    if columns == OBB_COLUMNS:
        return CORNERS
    if columns >= MIN_POLYGON_COLUMNS and columns % 2:
        return POLYGON
    return None
