"""The images of a job: the worst ones with boxes, the final validation, and plots."""

from pathlib import Path

import pytest

from app.web.formats import TIMES
from app.web.jobs.one_job.confusion import confusion_table
from app.web.jobs.one_job.worst_images import picture_of
from tests.api.browser.browsers import Browser
from tests.web.jobs.pages import opened
from tests.web.jobs.trained_jobs import Training, a_training
from tests.worlds.server import Api

pytestmark = [pytest.mark.integration, pytest.mark.mostly_sqlite]

IMAGE = {
    "number": 1,
    "file": "a.png",
    "width": 200,
    "height": 100,
    "missed": 0,
    "false": 0,
    "confused": 0,
    "truths": [],
    "predictions": [],
    "scores": {},
    "preview": None,
}


class TestWorstImages:
    def test_boxes_are_drawn_over_the_preview_by_outcome(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/images")

        kinds = [each.attributes["class"] for each in page.all("g")]
        assert kinds == ["truth missed", "truth confused", "prediction confused"]
        points = [each.attributes["points"] for each in page.all("polygon")]
        assert points[0] == "25.6,21.6 38.4,21.6 38.4,26.4 25.6,26.4"
        assert points[1] == "6.4,4.8 19.2,4.8 19.2,14.4 6.4,14.4"

    def test_errors_are_told_in_words(self, browser: Browser, succeeded: Training) -> None:
        page = opened(browser, f"{succeeded.path}/images")

        captions = [" ".join(each.text.split()) for each in page.all("figcaption")]
        assert captions[0] == (
            "1 1 missed, 1 confused images/val/a.pngcircle missed; circle taken for square"
        )

    @pytest.mark.parametrize(
        ("query", "numbers"),
        [
            ("", ["1", "2"]),
            ("?kind=missed", ["1"]),
            ("?kind=false", ["2"]),
            ("?class=circle", ["1"]),
            ("?class=square&kind=confused", ["1"]),
            ("?kind=nothing", ["1", "2"]),
        ],
    )
    def test_images_are_filtered_by_class_and_kind(
        self, browser: Browser, succeeded: Training, query: str, numbers: list[str]
    ) -> None:
        page = opened(browser, f"{succeeded.path}/images{query}")

        shown = [each.text for each in page.all("b") if "figcaption" in each.inside]
        assert shown == numbers

    @pytest.mark.parametrize("query", ["?class=no-such-class", "?class=circle&kind=false"])
    def test_a_filter_without_a_hit_says_so(
        self, browser: Browser, succeeded: Training, query: str
    ) -> None:
        page = opened(browser, f"{succeeded.path}/images{query}")

        assert "No image has such an error." in page.text

    def test_an_image_without_a_preview_keeps_its_shape(self) -> None:
        picture = picture_of(IMAGE)

        assert (picture.width, picture.height) == (640, 320)

    def test_errors_that_are_equal_are_counted(self) -> None:
        truth = {"class": "circle", "box": [0.5, 0.5, 1, 1], "corners": None, "outcome": "missed"}

        picture = picture_of({**IMAGE, "truths": [truth, truth]})

        assert picture.errors == [f"2 {TIMES} circle missed"]

    def test_classify_has_no_boxes(self) -> None:
        guess = {"class": "a", "confidence": 0.9, "box": None, "corners": None, "outcome": "false"}

        picture = picture_of({**IMAGE, "predictions": [guess], "scores": {"mean_iou": 0.25}})

        assert list(picture.boxes) == []
        assert picture.counts == "mean IoU 0.250"


class TestFinalValidation:
    def test_curves_are_charts_of_their_part(self, browser: Browser, succeeded: Training) -> None:
        page = opened(browser, f"{succeeded.path}/images")

        titles = [each.text for each in page.all("h3")]
        assert titles[:2] == ["Precision by recall", "F1 by confidence"]
        source = page.one("script", id="curves")
        assert source.attributes["data-href"] == f"/v1{succeeded.path}/curves"

    def test_the_confusion_matrix_is_a_table_with_shades(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/images")

        shades = {each.text: each.attributes["class"] for each in page.all("td")}
        assert (shades["40"], shades["30"], shades["7"]) == ("num h8", "num h9", "num h1")

    def test_only_zero_has_no_shade(self) -> None:
        table = confusion_table(matrix([[999, 0], [1, 5]]))

        assert table is not None
        assert [[cell.shade for cell in cells] for _, cells in table.rows] == [[10, 0], [1, 10]]

    def test_many_classes_have_a_list_of_mistakes(self) -> None:
        size = 60
        counts = [[row * (row != column) for column in range(size)] for row in range(size)]

        table = confusion_table(matrix(counts))

        assert table is not None
        assert not table.rows
        assert (table.mistakes[0].predicted, table.mistakes[0].count) == ("c59", 59)
        assert len(table.mistakes) == 50
        assert table.left_out

    def test_a_list_of_cells_has_its_mistakes(self) -> None:
        cells = [[0, 0, 9], [1, 0, 4]]

        table = confusion_table({**matrix([]), "matrix": None, "cells": cells, "names": ["a", "b"]})

        assert table is not None
        (mistake,) = table.mistakes
        assert (mistake.true, mistake.predicted, mistake.count) == ("a", "b", 4)


class TestPlots:
    def test_plots_are_shown_by_set_with_their_whole_picture(
        self, browser: Browser, succeeded: Training
    ) -> None:
        page = opened(browser, f"{succeeded.path}/images")

        titles = [each.text for each in page.all("h2")]
        assert titles[:5] == [
            "Worst validation images",
            "Final validation of best.pt",
            "Validation batches",
            "Training batches",
            "Plots of the results",
        ]
        assert f"/v1{succeeded.path}/artifacts/results.png" in page.links

    def test_a_job_without_images_says_why(self, browser: Browser, api: Api, folder: Path) -> None:
        training = a_training(api, folder, train={"epochs": 2, "imgsz": 64, "plots": False})

        page = opened(browser, f"{training.path}/images")

        assert "train.plots is false" in page.text
        assert "Images appear when the training has ended" in page.text


def matrix(counts: list[list[int]]) -> dict[str, object]:
    """Return a confusion matrix with these counts."""
    return {
        "unit": "objects",
        "conf": 0.25,
        "names": [f"c{number}" for number in range(len(counts))],
        "matrix": counts,
        "cells": None,
        "cells_left_out": 0,
    }
