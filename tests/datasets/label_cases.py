"""Label files: named ones with the code of their fault, and drawn ones that are nearly good."""

import random
from dataclasses import dataclass

from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code
from app.datasets.verification.labels import LabelRules

BOX = "0 0.5 0.5 0.2 0.2"
OTHER_BOX = "1 0.3 0.3 0.1 0.1"
POLYGON = "0 0.1 0.1 0.4 0.1 0.4 0.4"
FOUR_CORNERS = "1 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4"
POSE = "0 0.5 0.5 0.2 0.2 0.4 0.4 2 0.6 0.6 1"
POSE_2D = "0 0.5 0.5 0.2 0.2 0.4 0.4 0.6 0.6"


@dataclass(frozen=True)
class Case:
    """A label file and the code of its fault; a file without a code is valid."""

    task: Task
    text: str | bytes
    code: Code | None = None
    line: int | None = None
    keypoints: tuple[int, int] | None = None

    @property
    def content(self) -> bytes:
        return self.text if isinstance(self.text, bytes) else self.text.encode()

    @property
    def rules(self) -> LabelRules:
        return LabelRules(self.task, 3, self.keypoints)


AGREED = {
    "good": Case("detect", f"{BOX}\n{OTHER_BOX}\n"),
    "empty": Case("detect", ""),
    "blank-lines": Case("detect", f"\n\n{BOX}\n   \n"),
    "crlf": Case("detect", f"{BOX}\r\n{OTHER_BOX}\r\n"),
    "old-mac-line-ends": Case("detect", f"{BOX}\r{OTHER_BOX}\r"),
    "bom": Case("detect", b"\xef\xbb\xbf" + BOX.encode()),
    "tabs": Case("detect", BOX.replace(" ", "\t")),
    "exponent": Case("detect", "0 5e-1 0.5 2E-1 0.2"),
    "class-1.0": Case("detect", "1.0 0.5 0.5 0.2 0.2"),
    "zero-size": Case("detect", "0 0.5 0.5 0 0"),
    "tolerance-above": Case("detect", "0 1.01 0.5 0.2 0.2"),
    "tolerance-below": Case("detect", "0 -0.01 0.5 0.2 0.2"),
    "polygons-for-boxes": Case("detect", f"{POLYGON}\n{FOUR_CORNERS}\n"),
    "poses-for-boxes": Case("detect", POSE, keypoints=(2, 3)),
    "polygon": Case("segment", f"{POLYGON}\n{FOUR_CORNERS}\n"),
    "polygon-outside": Case("segment", "0 -0.2 0.1 0.4 0.1 0.4 0.4"),
    "obb": Case("obb", FOUR_CORNERS),
    "obb-corner-outside": Case("obb", "1 0.9 0.1 1.1 0.1 1.1 0.4 0.9 0.4"),
    "semantic-polygon": Case("semantic", POLYGON),
    "pose": Case("pose", POSE, keypoints=(2, 3)),
    "pose-2d": Case("pose", POSE_2D, keypoints=(2, 2)),
    "U17-four-columns": Case("detect", f"{BOX}\n0 0.5 0.5 0.2\n", Code.LABEL_COLUMNS, 2),
    "U17-six-columns": Case("detect", f"{BOX} 0.9", Code.LABEL_COLUMNS, 1),
    "U17-text": Case("detect", f"{BOX}\nRBC 0.5 0.5 0.2 0.2", Code.LABEL_NOT_A_NUMBER, 2),
    "U17-comma": Case("detect", "0 0,5 0,5 0,2 0,2", Code.LABEL_NOT_A_NUMBER, 1),
    "U17-nan": Case("detect", "0 nan 0.5 0.2 0.2", Code.LABEL_NOT_A_NUMBER, 1),
    "U17-inf": Case("detect", "0 inf 0.5 0.2 0.2", Code.LABEL_NOT_A_NUMBER, 1),
    "U17-nul": Case("detect", "0 0.5\x00 0.5 0.2 0.2", Code.LABEL_NOT_A_NUMBER, 1),
    "U17-below": Case("detect", "0 -0.02 0.5 0.2 0.2", Code.LABEL_NEGATIVE, 1),
    "U17-negative-size": Case("detect", "0 0.5 0.5 -0.005 0.2", Code.LABEL_NEGATIVE, 1),
    "U17-above": Case("detect", f"{BOX}\n\n0 1.02 0.5 0.2 0.2", Code.LABEL_OUT_OF_RANGE, 3),
    "U17-pixels": Case("detect", "0 320 240 64 48", Code.LABEL_OUT_OF_RANGE, 1),
    "U17-class-too-large": Case("detect", "3 0.5 0.5 0.2 0.2", Code.LABEL_CLASS, 1),
    "U17-class-negative": Case("detect", "-1 0.5 0.5 0.2 0.2", Code.LABEL_CLASS, 1),
    "U17-class-float": Case("detect", "0.5 0.5 0.5 0.2 0.2", Code.LABEL_CLASS, 1),
    "U17-mixed": Case("detect", f"{BOX}\n{POLYGON}", Code.LABEL_MIXED, 1),
    "U17-odd-polygon": Case("segment", f"{POLYGON} 0.4", Code.LABEL_COLUMNS, 1),
    "U17-pose-columns": Case("pose", f"{POSE} 0.1", Code.LABEL_COLUMNS, 1, (2, 3)),
    "U17-pose-box-only": Case("pose", BOX, Code.LABEL_COLUMNS, 1, (2, 3)),
    "U17-pose-point-outside": Case(
        "pose", POSE.replace("0.6", "1.2"), Code.LABEL_OUT_OF_RANGE, 1, (2, 3)
    ),
    "U17-utf-16": Case("detect", BOX.encode("utf-16"), Code.LABEL_NOT_UTF8, 1),
    "U17-polygon-far-outside": Case(
        "segment", "0 1.5 0.1 1.9 0.1 1.9 0.4", Code.LABEL_OUT_OF_RANGE, 1
    ),
    "polygon-of-one-point": Case("segment", f"{POLYGON}\n0 0.1 0.1\n"),
    "polygon-of-two-points": Case(
        "segment", f"{POLYGON}\n0 0.1 0.1 0.2 0.2\n", Code.LABEL_MIXED, 2
    ),
    "class-without-points": Case("segment", f"{POLYGON}\n0\n", Code.LABEL_COLUMNS, 2),
    "obb-of-three-corners": Case("obb", POLYGON),
    "obb-of-five-corners": Case("obb", f"{FOUR_CORNERS} 0.1 0.2"),
    "underscore": Case("detect", "0 0.5 0.5 0.2 0.1_5"),
    "digits-of-another-script": Case("detect", "\u0660 0.5 0.5 0.2 0.\u0662"),
    "text-in-keypoints-of-boxes": Case("detect", POSE.replace("0.6", "x"), keypoints=(2, 3)),
    "pose-visibility-infinite": Case("pose", POSE.replace(" 2 ", " inf "), keypoints=(2, 3)),
    "pose-visibility-nan": Case(
        "pose", POSE.replace(" 2 ", " nan "), Code.LABEL_NOT_A_NUMBER, 1, (2, 3)
    ),
    "pose-box-outside": Case("pose", POSE.replace("0.5 0.5", "5 5"), keypoints=(2, 3)),
    "400-digits": Case("detect", f"0 {'9' * 400} 0.5 0.2 0.2", Code.LABEL_NOT_A_NUMBER, 1),
    "400-digits-class": Case("detect", f"{'9' * 400} 0.5 0.5 0.2 0.2", Code.LABEL_NOT_A_NUMBER, 1),
    "400-digits-small": Case("detect", f"0 0.{'4' * 400} 0.5 0.2 0.2"),
    "above-float32": Case("detect", "0 1e39 0.5 0.2 0.2", Code.LABEL_NOT_A_NUMBER, 1),
    "nan-in-polygon": Case("segment", POLYGON.replace("0.4", "nan"), Code.LABEL_NOT_A_NUMBER, 1),
}

STRICTER = {
    "box-in-segments": Case("segment", BOX, Code.LABEL_COLUMNS, 1),
    "box-in-obb": Case("obb", BOX, Code.LABEL_COLUMNS, 1),
    "box-in-semantic": Case("semantic", BOX, Code.LABEL_COLUMNS, 1),
    "pose-box-infinite": Case(
        "pose", POSE.replace("0.5 0.5", "0.5 inf"), Code.LABEL_NOT_A_NUMBER, 1, (2, 3)
    ),
    "pose-box-of-infinite-pixels": Case(
        "pose", POSE.replace("0.5 0.5", "0.5 1e35"), Code.LABEL_OUT_OF_RANGE, 1, (2, 3)
    ),
}
"""Labels that the scan of Ultralytics keeps and we refuse: training fails or its loss is NaN."""


REPEATED = {
    "none": Case("detect", ""),
    "boxes": Case("detect", f"{BOX}\n{OTHER_BOX}\n{BOX}\n"),
    "boxes-of-other-classes": Case("detect", f"{BOX}\n1{BOX[1:]}\n"),
    "other-digits": Case("detect", f"{BOX}\n0 0.50 0.5 0.2 2e-1\n"),
    "minus-zero": Case("detect", "0 0.0 0.5 0.2 0.2\n0 -0.0 0.5 0.2 0.2\n"),
    "equal-as-float32": Case("detect", f"{BOX}\n0 0.500000000001 0.5 0.2 0.2\n"),
    "polygons": Case("segment", f"{POLYGON}\n{FOUR_CORNERS}\n{POLYGON}\n"),
    "polygons-with-one-box": Case("segment", f"{POLYGON}\n{POLYGON} 0.2 0.3\n"),
    "polygons-for-boxes": Case("detect", f"{FOUR_CORNERS}\n{FOUR_CORNERS}\n"),
    "obb": Case("obb", f"{FOUR_CORNERS}\n{FOUR_CORNERS}\n"),
    "poses": Case("pose", f"{POSE}\n{POSE}\n", keypoints=(2, 3)),
    "poses-with-one-box": Case("pose", f"{POSE}\n{POSE[:-1]}2\n", keypoints=(2, 3)),
    "poses-for-boxes": Case("detect", f"{POSE}\n{POSE[:-1]}2\n", keypoints=(2, 3)),
    "poses-and-boxes": Case("detect", f"{POSE}\n{BOX}\n{OTHER_BOX}\n", keypoints=(2, 3)),
}
"""Label files whose rows Ultralytics compares."""


COLUMNS: dict[Task, list[int]] = {
    "detect": [4, 4, 8, 6],
    "pose": [8],
    "segment": [6, 8, 10, 2],
    "obb": [8, 8, 6],
    "semantic": [6, 8],
}
"""Usual numbers of values after the class."""

KEYS: dict[Task, tuple[int, int] | None] = {
    "detect": (2, 2),
    "pose": (2, 2),
    "segment": None,
    "obb": None,
    "semantic": None,
}


LIKELY = ["0", "1", "0.5", "0.25", "1.01", "-0.01", "1e-3", "0.30000001"]
ODD = [
    *(
        "-0",
        "1.0100001",
        "-0.0100001",
        "5",
        "1e39",
        "nan",
        "inf",
        "-inf",
        "x",
        "0x1",
        "1_0",
        "\u0665",
    ),
    *("9" * 400, "0." + "3" * 400, "-" * 400, "\x00", "\ud7ff", "1e34", "1e35"),
]
CLASSES = ["0", "0", "0", "1", "2", "1.0", "-0"]
ODD_CLASSES = ["3", "-1", "0.5", "nan", "inf", "1e30", "RBC", "-0.005"]
LINE_ENDS = ["\n", "\n", "\r\n", "\r", "\n \n", "\x0b", "\u2028"]


def some_rows(task: Task, seed: int) -> Case:
    """Return a label file that is good or nearly good."""
    chance = random.Random(seed)
    oddness = chance.choice([0, 0, 0.02, 0.1])

    def pick(usual: list[str], odd: list[str]) -> str:
        return chance.choice(odd if chance.random() < oddness else usual)

    usual = chance.choice(COLUMNS[task])
    rows = []
    for _ in range(chance.randint(1, 4)):
        count = chance.choice([*[usual] * 8, *COLUMNS[task], chance.randint(0, 11)])
        values = [pick([*LIKELY, repr(chance.random())], ODD) for _ in range(count)]
        rows.append(" ".join([pick(CLASSES, ODD_CLASSES), *values]))
    rows += chance.choices(rows, k=chance.choice([0, 0, 1, 2]))
    return Case(task, chance.choice(LINE_ENDS).join(rows), keypoints=KEYS[task])
