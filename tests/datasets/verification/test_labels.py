"""Label files: every fault has a line and a code, and the verdict equals that of Ultralytics."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.tasks import Task
from app.datasets.archives.findings import Code, Severity
from app.datasets.archives.report import Limits
from app.datasets.verification.labels import CheckedLabels, LabelRules, check_labels
from tests.datasets.builders import an_image
from tests.datasets.oracle import Oracle

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
}

STRICTER = {
    "U17-box-in-segments": Case("segment", BOX, Code.LABEL_COLUMNS, 1),
    "U17-obb-columns": Case("obb", POLYGON, Code.LABEL_COLUMNS, 1),
    "U17-polygon-of-one-point": Case("segment", f"{POLYGON}\n0 0.1 0.1\n", Code.LABEL_COLUMNS, 2),
    "U17-pose-box-outside": Case(
        "pose", POSE.replace("0.5 0.5", "5 5"), Code.LABEL_OUT_OF_RANGE, 1, (2, 3)
    ),
    "U17-visibility-inf": Case(
        "pose", POSE.replace(" 2 ", " inf "), Code.LABEL_NOT_A_NUMBER, 1, (2, 3)
    ),
    "U17-underscore": Case("detect", "0 0.5 0.5 0.2 0.1_5", Code.LABEL_NOT_A_NUMBER, 1),
}
"""Labels that Ultralytics accepts and we refuse: they fail later, or train on nonsense."""


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


def checked(case: Case) -> CheckedLabels:
    return check_labels(case.content, case.rules, Limits())


class Judge:
    """Returns the verdict of Ultralytics on a label file beside a valid image."""

    def __init__(self, oracle: Oracle, folder: Path) -> None:
        self._oracle = oracle
        self._image = folder / "a.png"
        self._label = folder / "a.txt"
        self._image.write_bytes(an_image(kind="PNG"))

    def keeps(self, case: Case) -> bool:
        return bool(self._verdict(case.content, case.rules)["good"])

    def objects(self, case: Case) -> object:
        return self._verdict(case.content, case.rules)["rows"]

    def boxes(self, content: bytes, rules: LabelRules) -> object:
        return self._verdict(content, rules)["boxes"]

    def _verdict(self, content: bytes, rules: LabelRules) -> dict[str, object]:
        self._label.write_bytes(content)
        points, dims = rules.keypoints or (0, 0)
        is_pose = rules.task == "pose"
        return self._oracle.ask(
            "labels", self._image, self._label, is_pose, rules.classes, points, dims
        )


@pytest.fixture(scope="module")
def judge(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(oracle, tmp_path_factory.mktemp("judge"))


class TestFindings:
    @pytest.mark.parametrize("row", AGREED | STRICTER)
    def test_a_fault_has_its_code_and_line(self, row: str) -> None:
        case = (AGREED | STRICTER)[row]

        faults = [r for r in checked(case).remarks if r.code.severity is Severity.ERROR]

        assert [(fault.code, fault.line) for fault in faults][:1] == (
            [(case.code, case.line)] if case.code else []
        )
        assert checked(case).is_good is (case.code is None)

    def test_every_bad_row_is_named(self) -> None:
        text = f"{BOX}\n7 0.5 0.5 0.2 0.2\n0 2 0.5 0.2 0.2\n"

        remarks = checked(Case("detect", text)).remarks

        assert [remark.line for remark in remarks] == [2, 3]

    def test_a_row_that_stands_twice_is_a_warning(self) -> None:
        result = checked(Case("detect", f"{BOX}\n{OTHER_BOX}\n{BOX}\n"))

        assert [(r.code, r.line) for r in result.remarks] == [(Code.LABEL_DUPLICATE, 3)]
        assert result.is_good

    def test_a_polygon_out_of_the_image_is_a_warning(self) -> None:
        result = checked(AGREED["obb-corner-outside"])

        assert [(r.code, r.line) for r in result.remarks] == [(Code.LABEL_OUTSIDE, 1)]

    def test_a_million_rows_are_refused_at_the_first_row_too_many(self) -> None:
        result = checked(Case("detect", f"{BOX}\n" * 1_000_000))

        assert [(r.code, r.line) for r in result.remarks] == [(Code.LABEL_TOO_LARGE, 100_001)]

    def test_objects_are_counted_without_duplicates(self) -> None:
        result = checked(Case("detect", f"{BOX}\n{OTHER_BOX}\n{BOX}\n"))

        assert (result.objects, result.class_counts) == (2, {0: 2, 1: 1})

    def test_objects_are_counted_by_class(self) -> None:
        result = checked(Case("detect", f"{BOX}\n{OTHER_BOX}\n1 0.2 0.2 0.1 0.1\n"))

        assert result.class_counts == {0: 1, 1: 2}


class TestTheText:
    def test_digits_of_a_label_stay_as_they_are(self) -> None:
        text = "0 0.50000000001 .5 2e-1 +0.20\r\n1.0 0.3 0.3 0.1 0.1"

        kept = checked(Case("detect", text)).text

        assert kept == "0 0.50000000001 .5 2e-1 +0.20\n1.0 0.3 0.3 0.1 0.1\n"

    def test_a_byte_order_mark_of_a_label_is_removed(self) -> None:
        assert checked(AGREED["bom"]).text == f"{BOX}\n"


class TestAgreementWithUltralytics:
    @pytest.mark.parametrize("row", AGREED)
    def test_the_verdict_is_its_own(self, row: str, judge: Judge) -> None:
        case = AGREED[row]

        kept = judge.keeps(case)

        assert checked(case).is_good is kept

    @pytest.mark.parametrize("row", REPEATED)
    def test_objects_are_counted_as_it_counts_them(self, row: str, judge: Judge) -> None:
        case = REPEATED[row]

        objects = judge.objects(case)

        assert checked(case).objects == objects

    @pytest.mark.parametrize("row", STRICTER)
    def test_only_listed_labels_are_refused_although_ultralytics_keeps_them(
        self, row: str, judge: Judge
    ) -> None:
        case = STRICTER[row]

        kept = judge.keeps(case)

        assert kept
        assert not checked(case).is_good

    NUMBER = st.one_of(
        st.floats(-0.02, 1.03).map(repr),
        st.sampled_from(["0", "1", "1.01", "-0.01", "1.0100001", "-0.0100001", "1e-3", "nan", "x"]),
    )
    CLASS = st.sampled_from(["0", "1", "2", "3", "-1", "1.0", "0.5", "-0"])
    ROW = st.builds(
        lambda number, values: " ".join([number, *values]),
        CLASS,
        st.one_of(
            st.lists(NUMBER, min_size=4, max_size=4),
            st.lists(NUMBER, min_size=3, max_size=9),
        ),
    )

    @given(
        rows=st.lists(ROW, min_size=1, max_size=3),
        line_end=st.sampled_from(["\n", "\r\n", "\n\n"]),
        task=st.sampled_from(["detect", "pose"]),
    )
    @settings(
        max_examples=300,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_the_verdict_agrees_on_any_rows(
        self, rows: list[str], line_end: str, task: Task, judge: Judge
    ) -> None:
        keypoints = (2, 2) if task == "pose" else None
        case = Case(task, line_end.join(rows), keypoints=keypoints)

        result = checked(case)

        if result.is_good:
            assert judge.keeps(case)
        elif judge.keeps(case):
            codes = {remark.code for remark in result.remarks}
            is_box_of_a_pose = task == "pose" and codes == {Code.LABEL_OUT_OF_RANGE}
            is_point_among_polygons = task == "detect" and codes == {Code.LABEL_COLUMNS}
            assert is_box_of_a_pose or is_point_among_polygons

    @given(values=st.lists(st.floats(0, 1).map(repr), min_size=4, max_size=4))
    @settings(
        max_examples=50,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_our_label_text_means_the_same_boxes_to_ultralytics(
        self, values: list[str], judge: Judge
    ) -> None:
        case = Case("detect", b"\xef\xbb\xbf0 " + " ".join(values).encode() + b"\r\n")

        ours = checked(case)

        assert judge.boxes(ours.text.encode(), case.rules) == judge.boxes(case.content, case.rules)
