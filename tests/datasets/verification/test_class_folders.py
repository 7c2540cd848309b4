"""Classification datasets as people keep them: the folder of an image is its class."""

import pytest

from app.datasets.archives.finding_codes import Code
from tests.datasets.builders import an_image, class_files
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
