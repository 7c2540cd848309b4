"""What teams have comes in at the first try: archives drawn after those in public repositories.

`tests/data/first_try/expected.json` has the answer to each: `ready` with task, names and images by
split; `asks`: one finding that names the parameter that is missing; `named`: one finding that names
what the archive is, or what it lacks.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from app.datasets.archives.finding_codes import Severity
from app.datasets.archives.report import ImportOptions, Report, VerificationRequest
from app.datasets.verification.verify import verify

ARCHIVES: Final = Path(__file__).parents[2] / "data" / "first_try"
EXPECTED: Final[dict[str, dict[str, Any]]] = json.loads((ARCHIVES / "expected.json").read_text())
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


def names_with(answer: str) -> list[str]:
    return [name for name, expected in EXPECTED.items() if expected["answer"] == answer]


def verdict_on(name: str, folder: Path) -> Report:
    options = ImportOptions(task=EXPECTED[name]["send_task"])
    archive = ARCHIVES / f"{name}.zip"
    return verify(VerificationRequest(archive=archive, output=folder, options=options))


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
