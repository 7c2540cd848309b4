"""An image whose own annotation file cannot be read counts as dropped, in every such format."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.datasets.builders import Files, an_image
from tests.datasets.verdicts import Verify

BOX = [[4, 4], [30, 30]]
SPLITS = {"train": 5, "val": 2}


def an_xml(_: int) -> bytes:
    sides = "<xmin>4</xmin><ymin>4</ymin><xmax>30</xmax><ymax>30</ymax>"
    shape = f"<object><name>disc</name><bndbox>{sides}</bndbox></object>"
    return f"<annotation>{shape}</annotation>".encode()


def a_labelme(seed: int) -> bytes:
    shape = {"label": "disc", "points": BOX, "shape_type": "rectangle"}
    content = {"version": "5.4.1", "shapes": [shape], "imagePath": f"{seed}.jpg", "imageData": None}
    return json.dumps(content).encode()


def a_supervisely(_: int) -> bytes:
    shape = {"classTitle": "disc", "geometryType": "rectangle", "points": {"exterior": BOX}}
    sides = {"width": 64, "height": 64}
    content: dict[str, Any] = {"tags": [], "size": sides, "objects": [shape]}
    return json.dumps(content).encode()


def beside(split: str, seed: int, suffix: str) -> tuple[str, str]:
    """Return the paths of an image and of its annotations in the same folder."""
    return f"{split}/{seed}.jpg", f"{split}/{seed}{suffix}"


PLACES: dict[str, Callable[[str, int], tuple[str, str]]] = {
    "voc": lambda split, seed: beside(split, seed, ".xml"),
    "labelme": lambda split, seed: beside(split, seed, ".json"),
    "supervisely": lambda split, seed: (
        f"{split}/img/{seed}.jpg",
        f"{split}/ann/{seed}.jpg.json",
    ),
}
CONTENTS = {"voc": an_xml, "labelme": a_labelme, "supervisely": a_supervisely}
each_format = pytest.mark.parametrize("form", PLACES)


def files_of(form: str, *, damaged: tuple[str, int]) -> Files:
    """Return a dataset in which the annotations of one image are cut."""
    files: Files = {}
    for split, count in SPLITS.items():
        for seed in range(count):
            image, annotations = PLACES[form](split, seed)
            content = CONTENTS[form](seed)
            files[image] = an_image(seed + len(split))
            files[annotations] = content[:-20] if (split, seed) == damaged else content
    if form == "supervisely":
        classes = [{"title": "disc", "shape": "rectangle"}]
        files["meta.json"] = json.dumps({"classes": classes}).encode()
    return files


class TestCounts:
    @each_format
    def test_the_image_of_an_unreadable_file_counts_as_dropped_in_its_split(
        self, verified: Verify, form: str
    ) -> None:
        report = verified(files_of(form, damaged=("train", 3)))

        assert report.state == "ready", report.findings
        counts = {split: (each.images, each.dropped) for split, each in report.splits.items()}
        assert counts == {"train": (4, 1), "val": (2, 0)}
        assert report.finding_totals["annotation-unreadable"] == 1

    @each_format
    def test_the_image_of_an_unreadable_file_counts_against_the_largest_share(
        self, verified: Verify, form: str
    ) -> None:
        report = verified(files_of(form, damaged=("train", 3)), max_bad_ratio=0.1)

        assert report.state == "invalid"
        assert "too-many-dropped" in report.finding_totals

    @each_format
    def test_a_split_that_loses_its_only_image_is_an_error(
        self, verified: Verify, form: str
    ) -> None:
        files = files_of(form, damaged=("val", 0))
        image, annotations = PLACES[form]("val", 1)
        del files[image], files[annotations]

        report = verified(files)

        assert report.state == "invalid"
        assert "too-many-dropped" in report.finding_totals
