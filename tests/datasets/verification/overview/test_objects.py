"""The objects of a sample are those of its label file, with the coordinates of the task."""

import pytest

from app.datasets.reports.overview import SampleObject
from app.datasets.reports.report import Limits
from app.datasets.verification.labels import LabelRules, check_labels
from app.datasets.verification.overview.objects import (
    MAX_NUMBERS,
    MAX_OBJECTS,
    JsonObject,
    KeptObjects,
)

CASES = {
    "detect": (
        LabelRules("detect", 2),
        "1 0.5 0.5 0.25 0.125",
        {"class": 1, "box": [0.5, 0.5, 0.25, 0.125]},
    ),
    "polygon-as-box": (
        LabelRules("detect", 2),
        "1 0.25 0.25 0.75 0.25 0.75 0.5",
        {"class": 1, "box": [0.5, 0.375, 0.5, 0.25]},
    ),
    "segment": (
        LabelRules("segment", 2),
        "0 0.25 0.25 0.75 0.25 0.75 0.5",
        {"class": 0, "polygon": [0.25, 0.25, 0.75, 0.25, 0.75, 0.5]},
    ),
    "obb": (
        LabelRules("obb", 2),
        "0 0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5",
        {"class": 0, "corners": [0.25, 0.25, 0.75, 0.25, 0.75, 0.5, 0.25, 0.5]},
    ),
    "pose": (
        LabelRules("pose", 1, (2, 3)),
        "0 0.5 0.5 0.25 0.125 0.25 0.5 2 0 0 0",
        {
            "class": 0,
            "box": [0.5, 0.5, 0.25, 0.125],
            "keypoints": [[0.25, 0.5, 2.0], [0.0, 0.0, 0.0]],
        },
    ),
}


def objects(text: str, rules: LabelRules) -> tuple[list[JsonObject], int]:
    labels = check_labels(text.encode(), rules, Limits())
    assert labels.is_good
    kept = KeptObjects.of(labels, labels.class_counts)
    return kept.as_json(rules), kept.total


class TestObjects:
    @pytest.mark.parametrize("case", CASES)
    def test_a_row_has_the_coordinates_of_its_task(self, case: str) -> None:
        rules, row, expected = CASES[case]

        found, total = objects(row, rules)

        assert (found, total) == ([expected], 1)
        SampleObject.model_validate(found[0])

    def test_a_repeated_row_is_one_object(self) -> None:
        row = "0 0.5 0.5 0.25 0.125\n"

        found, total = objects(row + row, LabelRules("detect", 1))

        assert (len(found), total) == (1, 1)

    def test_the_objects_that_are_too_many_are_left_out_and_counted(self) -> None:
        rows = "".join(f"0 0.5 0.5 0.1 {n / 5000:.6f}\n" for n in range(1, 3001))

        found, total = objects(rows, LabelRules("detect", 1))

        assert (len(found), total) == (MAX_NUMBERS // 5, 3000)

    def test_a_polygon_with_too_many_points_leaves_room_for_others(self) -> None:
        large = "0 " + " ".join(["0.1 0.2 0.3 0.9"] * MAX_NUMBERS)

        found, total = objects(f"{large}\n1 0 0 0 1 1 1", LabelRules("segment", 2))

        assert ([each["class"] for each in found], total) == ([1], 2)

    def test_an_image_without_labels_has_its_classes(self) -> None:
        rules = LabelRules("classify", 3000)

        kept = KeptObjects.of(None, range(2000))

        assert kept.as_json(rules)[:2] == [{"class": 0}, {"class": 1}]
        assert (len(kept.as_json(rules)), kept.total) == (MAX_OBJECTS, 2000)
