"""The photographs of blood cells are one dataset, in whichever of five forms they are sent."""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from app.datasets.packs.extract import materialise_view
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.report import ImportOptions, Report, VerificationRequest
from app.datasets.verification.verify import verify
from tests.datasets.blood_cell_forms import FORMS, NAMES, Photograph, photographs
from tests.datasets.builders import a_zip
from tests.datasets.oracle import Oracle
from tests.datasets.outputs import extract_output, files_of_output
from tests.datasets.trainings import train

SOME: int = 12
"""Of this many photographs, the fast tests use one."""

PRECISION = 1e-6
Table = dict[str, list[list[float]]]


@cache
def some_photographs() -> list[Photograph]:
    return photographs(every=SOME)


def brought_in(folder: Path, form: str, photos: Sequence[Photograph]) -> Report:
    folder.mkdir()
    archive = a_zip(folder / "upload.zip", FORMS[form](photos), zipfile.ZIP_STORED)
    options = ImportOptions(names=list(NAMES))
    report = verify(VerificationRequest(archive=archive, output=folder, options=options))
    assert report.state == "ready", report.findings
    known = {Code.FORMAT_CONVERTED, Code.SPLIT_LOOKALIKE}
    assert {found.code for found in report.findings} <= known
    return report


def labels_in(folder: Path) -> Table:
    """Return the rows of each image of a pack, by the path of its label file."""
    return {
        name: [[float(value) for value in row.split()] for row in content.splitlines()]
        for name, content in files_of_output(folder).items()
        if name.endswith(".txt")
    }


def images_in(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each image of a pack, by its path."""
    return {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files_of_output(folder).items()
        if name.startswith("images/")
    }


def labels_of(photos: Sequence[Photograph]) -> Table:
    """Return what the label files of the original archive hold."""
    return {f"labels/{photo.split}/{photo.stem}.txt": photo.rows for photo in photos}


def assert_equal(labels: Mapping[str, list[list[float]]], others: Table) -> None:
    assert labels.keys() == others.keys()
    for name, rows in labels.items():
        assert len(rows) == len(others[name])
        for row, other in zip(rows, others[name], strict=True):
            assert row == pytest.approx(other, abs=PRECISION)


class TestFiveForms:
    @pytest.mark.parametrize("form", FORMS)
    def test_a_form_has_the_labels_of_the_original(self, form: str, tmp_path: Path) -> None:
        photos = some_photographs()

        report = brought_in(tmp_path / "form", form, photos)

        assert report.classes == list(NAMES)
        assert_equal(labels_in(tmp_path / "form"), labels_of(photos))
        assert images_in(tmp_path / "form") == {
            f"images/{photo.split}/{photo.stem}.jpg": hashlib.sha256(photo.content).hexdigest()
            for photo in photos
        }

    def test_every_form_gives_the_same_manifest(self, tmp_path: Path) -> None:
        photos = some_photographs()

        digests = {
            form: brought_in(tmp_path / form, form, photos).manifest_digest for form in FORMS
        }

        assert digests == dict.fromkeys(FORMS, digests["YOLO"])

    @pytest.mark.slow
    def test_all_photographs_have_the_same_labels_in_every_form(self, tmp_path: Path) -> None:
        photos = photographs()

        reports = {form: brought_in(tmp_path / form, form, photos) for form in FORMS}

        for form, report in reports.items():
            assert report.splits == reports["YOLO"].splits
            assert_equal(labels_in(tmp_path / form), labels_of(photos))
        assert len({report.manifest_digest for report in reports.values()}) == 1

    @pytest.mark.slow
    def test_two_forms_train_the_same(self, oracle: Oracle, tmp_path: Path) -> None:
        photos = some_photographs()
        trained = []
        for form in ("YOLO", "Pascal VOC"):
            folder = tmp_path / form
            brought_in(folder, form, photos)
            extract_output(folder, folder / "root")
            data = materialise_view(folder / "root", folder / "view")
            trained.append(train(oracle, "detect", data, folder, epochs=2, imgsz=64))

        first, second = trained
        assert first.images == second.images
        assert [without_times(epoch) for epoch in first.epochs] == [
            without_times(epoch) for epoch in second.epochs
        ]


def without_times(epoch: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in epoch.items() if name != "time"}
