"""Label files: every fault has a line and a code, and the verdict equals that of Ultralytics."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.report import Limits
from app.datasets.verification.labels import CheckedLabels, LabelRules, check_labels
from tests.datasets.builders import an_image
from tests.datasets.label_cases import (
    AGREED,
    BOX,
    COLUMNS,
    OTHER_BOX,
    REPEATED,
    STRICTER,
    Case,
    some_rows,
)
from tests.datasets.oracle import Oracle


def is_listed_as_stricter(case: Case, result: CheckedLabels) -> bool:
    """Return whether a file that Ultralytics keeps is refused for one of the listed reasons."""
    codes = {remark.code for remark in result.remarks}
    if case.task == "pose":
        boxes = [row.split()[1:5] for row in case.content.decode().splitlines() if row.strip()]
        largest = max(float(value) for box in boxes for value in box)
        return largest > 2e34 and codes <= {Code.LABEL_NOT_A_NUMBER, Code.LABEL_OUT_OF_RANGE}
    return case.task != "detect" and codes == {Code.LABEL_COLUMNS}


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

    def classes(self, case: Case) -> list[int]:
        return [int(row[0]) for row in self._verdict(case.content, case.rules)["boxes"]]

    def of_all(self, cases: list[Case]) -> list[dict[str, Any]]:
        points, dims = cases[0].rules.keypoints or (0, 0)
        is_pose = cases[0].task == "pose"
        texts = [case.content.decode() for case in cases]
        asked = (self._image, self._label, is_pose, cases[0].rules.classes, points, dims, texts)
        verdicts: list[dict[str, Any]] = self._oracle.ask("label_texts", *asked)["verdicts"]
        return verdicts

    def boxes(self, content: bytes, rules: LabelRules) -> object:
        return self._verdict(content, rules)["boxes"]

    def _verdict(self, content: bytes, rules: LabelRules) -> dict[str, Any]:
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

    def test_far_too_many_rows_are_refused_at_the_first_row_too_many(self) -> None:
        result = checked(Case("detect", f"{BOX}\n" * 300_000))

        assert [(r.code, r.line) for r in result.remarks] == [(Code.LABEL_TOO_LARGE, 100_001)]

    def test_objects_and_classes_are_counted_without_duplicates(self) -> None:
        result = checked(Case("detect", f"{BOX}\n{OTHER_BOX}\n{BOX}\n"))

        assert (result.objects, result.class_counts) == (2, {0: 1, 1: 1})

    def test_objects_without_size_are_counted_in_one_warning(self) -> None:
        result = checked(Case("detect", f"{BOX}\n0 0.5 0.5 0 0.2\n1 0.5 0.5 0 0\n"))

        assert [(r.code, r.line) for r in result.remarks] == [(Code.LABEL_NO_SIZE, 2)]
        assert "2" in result.remarks[0].message
        assert result.is_good

    def test_a_box_of_a_pose_out_of_the_image_is_a_warning(self) -> None:
        result = checked(AGREED["pose-box-outside"])

        assert [(r.code, r.line) for r in result.remarks] == [(Code.LABEL_OUTSIDE, 1)]

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

    @pytest.mark.parametrize("row", REPEATED)
    def test_classes_are_counted_as_it_counts_them(self, row: str, judge: Judge) -> None:
        case = REPEATED[row]

        classes = judge.classes(case)

        assert checked(case).class_counts == Counter(classes)

    @pytest.mark.parametrize("task", ["segment", "obb", "semantic"])
    def test_ultralytics_does_not_train_for_polygons_with_one_file_of_boxes(
        self, task: str, oracle: Oracle
    ) -> None:
        said = oracle.ask("counts_agree", task, 1, 0)

        assert "requires equal numbers of boxes and segments" in said["message"]

    @pytest.mark.parametrize("width", [1e3, 1e34])
    def test_the_loss_of_ultralytics_is_finite_for_the_largest_box_of_a_pose(
        self, width: float, oracle: Oracle
    ) -> None:
        assert oracle.ask("box_loss", width, 16_384)["is_finite"]

    @pytest.mark.parametrize("width", [3e34, "inf"])
    def test_the_loss_of_ultralytics_is_not_finite_for_a_box_of_infinite_pixels(
        self, width: float | str, oracle: Oracle
    ) -> None:
        assert not oracle.ask("box_loss", width, 16_384)["is_finite"]

    @pytest.mark.parametrize("task", COLUMNS)
    def test_the_verdict_agrees_on_any_rows(self, task: Task, judge: Judge) -> None:
        cases = [some_rows(task, seed) for seed in range(400)]

        verdicts = judge.of_all(cases)

        for case, said in zip(cases, verdicts, strict=True):
            result = checked(case)
            if said["good"] and not result.is_good:
                assert is_listed_as_stricter(case, result), case
                continue
            assert result.is_good is said["good"], case
            assert result.is_good or result.remarks, case
            classes = [int(row[0]) for row in said.get("boxes", ())]
            assert (result.objects, result.class_counts) == (len(classes), Counter(classes)), case

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
