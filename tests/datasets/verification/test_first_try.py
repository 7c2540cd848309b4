"""What teams have comes in at the first try, or the answer names what is missing."""

from pathlib import Path
from typing import Final

import pytest

from app.datasets.reports.finding_codes import Severity
from tests.datasets.first_try import EXPECTED, names_with, verdict_on

NAMED: Final = {
    "cvat-segmentation-mask": "mask-ids",
    "cvat-ultralytics-no-images": "Save images",
    "images-only": "No image has a label",
    "label-studio-labels-only": "no image",
    "mot": "MOT",
    "multilabel-roboflow": "Multi-label",
    "rar": "RAR",
    "tfrecord-roboflow": "TFRecord",
    "visdrone": "VisDrone",
    "yolo-keras": "Keras",
}
"""By archive, words of the finding that names it."""
ASKED: Final = {"masks-camvid": "`names`", "roboflow-obb": "`task`"}
"""By archive, the parameter that its finding asks for."""


class TestFirstTry:
    @pytest.mark.parametrize("name", names_with("ready"))
    def test_a_dataset_comes_in_as_its_author_means_it(self, name: str, tmp_path: Path) -> None:
        expected = EXPECTED[name]

        report = verdict_on(name, tmp_path)

        assert (report.state, report.task) == ("ready", expected["task"])
        assert report.classes == expected["names"]
        assert {split: held.images for split, held in report.splits.items()} == expected["splits"]

    @pytest.mark.parametrize("name", [*names_with("asks"), *names_with("named")])
    def test_a_refusal_names_what_the_archive_is_or_lacks(self, name: str, tmp_path: Path) -> None:
        report = verdict_on(name, tmp_path)

        errors = [each.message for each in report.findings if each.severity is Severity.ERROR]
        assert report.state == "invalid"
        assert len(errors) == 1
        assert {**NAMED, **ASKED}[name] in errors[0]
