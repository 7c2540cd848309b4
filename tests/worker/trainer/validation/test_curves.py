"""Curves and matrices of many classes stay small, by stated rules."""

from functools import partial
from types import SimpleNamespace

import numpy as np

from app.artifacts.validation import BACKGROUND, Curves
from worker.trainer.upstream import Untyped
from worker.trainer.validation.curves import curves_of
from worker.trainer.validation.images import mean_iou
from worker.trainer.validation.worst import WorstRecord

POINTS = 1000


def a_validator(classes: int, *, matrix: Untyped = None) -> Untyped:
    """Return the parts of a validator of boxes that are read; class n has n objects."""
    rows = np.linspace(0, 1, classes)[:, None] * np.ones((1, POINTS))
    box = SimpleNamespace(
        px=np.linspace(0, 1, POINTS),
        ap_class_index=np.arange(classes),
        prec_values=rows if classes else np.zeros((1, POINTS)),
        **dict.fromkeys(("f1_curve", "p_curve", "r_curve"), rows),
    )
    counts = np.zeros((classes + 1, classes + 1)) if matrix is None else matrix
    return SimpleNamespace(
        metrics=SimpleNamespace(box=box, nt_per_class=np.arange(classes)),
        confusion_matrix=SimpleNamespace(matrix=counts),
        args=SimpleNamespace(conf=0.001),
    )


def shown(classes: int, *, matrix: Untyped = None, task: str = "detect") -> Curves:
    found = curves_of(a_validator(classes, matrix=matrix), task=task, classes=classes)
    return Curves.model_validate(found)


class TestCurves:
    def test_up_to_20_classes_have_every_point_and_more_have_101_of_them(self) -> None:
        few, many = shown(20), shown(21)

        assert few.pr is not None
        assert many.pr is not None
        assert (len(few.pr.x), len(many.pr.x)) == (1000, 101)
        assert set(many.pr.x) < set(few.pr.x)
        assert (many.pr.x[0], many.pr.x[-1]) == (0, 1)

    def test_curves_of_more_than_200_classes_are_those_with_the_most_objects(self) -> None:
        curves = shown(300)

        assert curves.pr is not None
        assert list(curves.pr.classes) == [str(number) for number in range(100, 300)]
        assert curves.pr.mean == [0.5] * 101
        assert curves.classes_total == 300

    def test_without_an_object_in_the_labels_there_are_points_and_no_class(self) -> None:
        curves = shown(0)

        assert curves.pr is not None
        assert (len(curves.pr.x), curves.pr.classes) == (1000, {})
        assert set(curves.pr.mean) == {None}


class TestConfusion:
    def test_up_to_100_classes_have_a_whole_matrix_and_more_their_largest_cells(self) -> None:
        matrix = np.zeros((102, 102))
        matrix[3, 4], matrix[101, 7], matrix[0, 0] = 5, 9, 5

        dense, sparse = shown(100).confusion, shown(101, matrix=matrix).confusion

        assert dense is not None
        assert sparse is not None
        assert dense.matrix is not None
        assert (len(dense.matrix), dense.cells) == (101, None)
        assert sparse.matrix is None
        assert sparse.cells == [(101, 7, 9), (0, 0, 5), (3, 4, 5)]
        assert sparse.names[101] == BACKGROUND

    def test_cells_beyond_the_10000_largest_are_counted(self) -> None:
        confusion = shown(150, matrix=np.ones((151, 151))).confusion

        assert confusion is not None
        assert confusion.cells is not None
        assert (len(confusion.cells), confusion.cells_left_out) == (10_000, 151**2 - 10_000)

    def test_a_matrix_of_more_than_1000_classes_has_those_with_the_most_objects(self) -> None:
        matrix = np.zeros((1003, 1003))
        matrix[5, 5], matrix[1002, 1001] = 8, 3
        matrix[0, 2:1002] += 1  # classes 0 and 1 have no object

        confusion = shown(1002, matrix=matrix).confusion

        assert confusion is not None
        assert confusion.cells is not None
        assert confusion.names == [*map(str, range(2, 1002)), BACKGROUND]
        assert confusion.cells == [(3, 3, 8), (1000, 999, 3)]

    def test_a_single_semantic_class_comes_before_the_background(self) -> None:
        matrix = np.array([[90, 4], [6, 20]])

        confusion = shown(1, matrix=matrix, task="semantic").confusion

        assert confusion is not None
        assert (confusion.names, confusion.matrix) == (["0", BACKGROUND], [[20, 6], [4, 90]])
        assert (confusion.unit, confusion.conf) == ("pixels", None)


class TestWorst:
    def test_the_worst_100_images_are_kept_and_of_equals_the_earlier_ones(self) -> None:
        kept = WorstRecord()
        for number in range(500):
            kept.note(float(number % 50), partial(dict, file=str(number)))

        worst = kept.worst_first()

        assert kept.images_total == 500
        assert [number for number, _ in worst[:12]] == [*range(49, 500, 50), 48, 98]
        assert len(worst) == 100
        assert worst[-1][1] == {"file": "490", "badness": 40.0}

    def test_an_image_without_an_error_is_not_among_the_worst(self) -> None:
        kept = WorstRecord()
        for badness in (0.0, float("nan"), 0.5):
            kept.note(badness, dict)

        assert [number for number, _ in kept.worst_first()] == [2]


class TestMeanIoU:
    def test_mean_iou_is_over_the_classes_in_labels_or_prediction_without_ignored_pixels(
        self,
    ) -> None:
        predicted = np.array([[0, 0, 1], [1, 1, 1]])
        true = np.array([[0, 2, 1], [1, 255, 1]])

        assert mean_iou(predicted, true) == (1 / 2 + 1 + 0) / 3
