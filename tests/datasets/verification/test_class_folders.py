"""Classification datasets as people keep them: the folder of an image is its class."""

import json
from pathlib import Path

import pytest

from app.datasets.packs.extract import materialise_view
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.report import ImportOptions, VerificationRequest
from app.datasets.verification.verify import verify
from tests.datasets.builders import a_zip, an_image, class_files
from tests.datasets.oracle import Oracle
from tests.datasets.outputs import extract_output
from tests.datasets.verdicts import Verify, codes, moved, warnings


class TestClassFolders:
    def test_classes_are_the_folders_of_train_in_order(self, verified: Verify) -> None:
        report = verified(class_files())

        assert report.classes == ["disc", "square", "triangle"]
        assert report.class_counts["val"] == {"disc": 2, "square": 2, "triangle": 2}

    @pytest.mark.parametrize("name", ["valid", "validation"])
    def test_class_folders_may_name_val_valid_or_validation(
        self, name: str, verified: Verify
    ) -> None:
        assert verified(moved(class_files(), "val/", f"{name}/")).state == "ready"

    def test_images_of_a_class_that_train_lacks_are_left_out(self, verified: Verify) -> None:
        files = {**class_files(), "val/unicorn/a.jpg": an_image(7)}

        report = verified(files)

        assert (report.state, warnings(report)) == ("ready", {Code.CLASS_UNKNOWN})
        assert codes(verified(files, policy="strict")) == {Code.CLASS_UNKNOWN}

    def test_test_is_val_where_class_folders_have_no_val(self, verified: Verify) -> None:
        report = verified(moved(class_files(), "val/", "test/"))

        assert (report.state, set(report.splits)) == ("ready", {"train", "val"})

    @pytest.mark.parametrize(
        ("train", "val"),
        [
            ("Training", "Testing"),
            ("Train", "Val"),
            ("training_set", "test_set"),
            ("seg_train", "seg_test"),
        ],
    )
    def test_folders_of_splits_have_many_names(
        self, train: str, val: str, verified: Verify
    ) -> None:
        report = verified(moved(moved(class_files(), "train/", f"{train}/"), "val/", f"{val}/"))

        assert (report.state, report.classes) == ("ready", ["disc", "square", "triangle"])

    def test_class_folders_may_lie_in_one_more_folder(self, verified: Verify) -> None:
        report = verified(moved(class_files(), "train/", "seg_train/seg_train/"))

        assert (report.state, report.classes) == ("ready", ["disc", "square", "triangle"])

    def test_class_folders_at_the_root_are_divided(self, verified: Verify) -> None:
        report = verified(moved(class_files(val=0), "train/", ""))

        assert (report.task, report.state) == ("classify", "ready")
        assert min(report.class_counts["val"].values()) >= 1

    def test_a_class_may_be_called_images(self, verified: Verify) -> None:
        report = verified(moved(class_files(), "/disc/", "/images/"))

        assert (report.task, report.classes) == ("classify", ["images", "square", "triangle"])

    def test_a_class_folder_needs_a_printable_name(self, verified: Verify) -> None:
        assert codes(verified(moved(class_files(), "disc", "di\u202esc"))) == {
            Code.CLASS_NAME_INVALID
        }

    def test_a_class_may_be_called_like_a_split(self, verified: Verify) -> None:
        report = verified(moved(moved(class_files(val=0), "train/", ""), "disc/", "train/"))

        assert (report.task, report.classes) == ("classify", ["square", "train", "triangle"])

    def test_names_in_any_order_are_those_of_the_sorted_folders(self, verified: Verify) -> None:
        report = verified(class_files(), "classify", names=["triangle", "disc", "square"])

        assert report.classes == ["disc", "square", "triangle"]

    def test_names_that_are_not_the_folders_are_refused(self, verified: Verify) -> None:
        assert codes(verified(class_files(), "classify", names=["a", "b", "c"])) == {
            Code.NAMES_MISFIT
        }

    def test_a_class_that_only_val_has_stays_where_all_is_divided_again(
        self, verified: Verify
    ) -> None:
        files = class_files() | {f"val/unicorn/{n}.jpg": an_image(n) for n in range(7, 10)}

        report = verified(files, splits="50:50")

        assert report.classes == ["disc", "square", "triangle", "unicorn"]

    def test_class_folders_without_train_can_be_divided(self, verified: Verify) -> None:
        files = moved(class_files(val=0), "train/", "test/")

        refused, divided = verified(files, "classify"), verified(files, "classify", splits="50:50")

        assert codes(refused) == {Code.SPLIT_MISSING}
        assert divided.state == "ready"


class TestWhatTrainingSees:
    def test_training_counts_an_empty_class(self, oracle: Oracle, tmp_path: Path) -> None:
        archive = a_zip(tmp_path / "upload.zip", {**class_files(), "train/disc2/": b""})

        report = verify(VerificationRequest(archive=archive, output=tmp_path))

        assert report.classes == ["disc", "disc2", "square", "triangle"]
        assert trained_names(oracle, tmp_path) == report.classes

    def test_training_counts_a_class_whose_images_were_all_dropped(
        self, oracle: Oracle, tmp_path: Path
    ) -> None:
        files = {**class_files(), "train/broken/a.jpg": b"<html>"}
        archive = a_zip(tmp_path / "upload.zip", files)

        report = verify(VerificationRequest(archive=archive, output=tmp_path))

        assert report.splits["train"].dropped == 1
        assert trained_names(oracle, tmp_path) == report.classes

    def test_classes_that_a_file_names_are_those_of_training(
        self, oracle: Oracle, tmp_path: Path
    ) -> None:
        heads = [{"type": "dataset", "task": "classify", "class_names": {"0": "z", "1": "a"}}]
        heads += [
            {"type": "image", "file": f"dogs/{n}.jpg", "split": split, "annotations": {
                "classification": [n % 2]}}
            for n, split in enumerate(["train", "train", "val", "val"])
        ]  # fmt: skip
        files = {f"dogs/{n}.jpg": an_image(n) for n in range(4)}
        text = "\n".join(map(json.dumps, heads)).encode()
        archive = a_zip(tmp_path / "upload.zip", {**files, "set.ndjson": text})
        options = ImportOptions(task="classify")

        report = verify(VerificationRequest(archive=archive, output=tmp_path, options=options))

        assert report.class_counts["train"] == {"a": 1, "z": 1}
        assert trained_names(oracle, tmp_path) == ["a", "z"]


def trained_names(oracle: Oracle, folder: Path) -> list[str]:
    """Return the class names that Ultralytics finds in the pack, in the order of its numbers."""
    extract_output(folder, folder / "pack")
    view = materialise_view(folder / "pack", folder / "view")
    names: dict[str, str] = oracle.ask("dataset", view, "classify")["names"]
    return [names[number] for number in sorted(names, key=int)]
