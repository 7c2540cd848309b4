from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from app.datasets.verification.formats.other_formats import dota, kitti, open_images
from tests.datasets.verification.other_formats.conftest import ReadBy

if TYPE_CHECKING:
    from tests.datasets.builders import Files

IMAGE = b"an image that is not decoded here"
KITTI = b"disc 0.00 0 -1.57 10 5 30 25 1.5 1.6 3.9 1.8 1.5 8.4 -1.5\n"
DONT_CARE = b"DontCare -1 -1 -10 5 5 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n"
DOTA = b"imagesource:GoogleEarth\ngsd:0.1\n10 5 30 5 30 25 10 25 small-vehicle 0\n"
YOLO = b"0 0.5 0.5 0.2 0.2\n"


class TestKitti:
    def test_columns_5_to_8_are_the_box_in_pixels(self, read_by: ReadBy) -> None:
        files = {"image_2/000001.png": IMAGE, "label_2/000001.txt": KITTI + DONT_CARE}

        reading = read_by(kitti, files)

        assert reading.source is not None
        assert reading.source.names == ["disc"]
        assert reading.image("image_2/000001.png").in_pixels
        assert reading.rows("image_2/000001.png") == [[0, 20, 15, 20, 20]]

    def test_images_of_the_other_camera_and_of_testing_are_left_out(self, read_by: ReadBy) -> None:
        files = {
            "training/image_2/000001.png": IMAGE,
            "training/image_3/000001.png": IMAGE,
            "testing/image_2/000001.png": IMAGE,
            "training/label_2/000001.txt": KITTI,
        }

        assert read_by(kitti, files).counts() == {"train": 1}

    def test_names_that_differ_by_the_folder_belong_together(self, read_by: ReadBy) -> None:
        files = {"image_2/road_image_01.png": IMAGE, "label_2/road_label_01.txt": KITTI}

        assert read_by(kitti, files).rows("image_2/road_image_01.png")


class TestDota:
    def test_corners_are_oriented_boxes(self, read_by: ReadBy) -> None:
        reading = read_by(dota, {"images/P0001.png": IMAGE, "labelTxt/P0001.txt": DOTA})

        assert reading.source is not None
        assert reading.source.task == "obb"
        assert reading.source.names == ["small-vehicle"]
        assert reading.rows("images/P0001.png") == [[0, 10, 5, 30, 5, 30, 25, 10, 25]]

    def test_roboflow_names_the_splits_by_folders(self, read_by: ReadBy) -> None:
        files = {
            f"{split}/{path}": content
            for split in ("train", "valid")
            for path, content in (("images/1.jpg", IMAGE), ("labelTxt/1.txt", DOTA))
        }

        assert read_by(dota, files).counts() == {"train": 1, "val": 1}

    def test_a_row_with_too_few_columns_is_reported_with_its_line(self, read_by: ReadBy) -> None:
        files: Files = {"images/1.png": IMAGE, "labelTxt/1.txt": DOTA + b"1 2 3 disc 0\n"}
        files |= {f"labelTxt/{number}.txt": DOTA for number in (2, 3)}

        reading = read_by(dota, files)

        assert ("labelTxt/1.txt", 4) in [(each.file, each.line) for each in reading.findings]


class TestOpenImages:
    def test_a_class_may_have_blanks(self, read_by: ReadBy) -> None:
        files = {
            "train/Traffic light/1.jpg": IMAGE,
            "train/Traffic light/Label/1.txt": b"Traffic light 10 5 30 25\n",
        }

        reading = read_by(open_images, files)

        assert reading.source is not None
        assert reading.source.names == ["Traffic light"]
        assert reading.rows("train/Traffic light/1.jpg") == [[0, 20, 15, 20, 20]]
        assert reading.counts() == {"train": 1}

    def test_an_image_of_several_classes_is_one_image(self, read_by: ReadBy) -> None:
        files: Files = {}
        for name in ("Disc", "Ring"):
            files[f"train/{name}/1.jpg"] = IMAGE
            files[f"train/{name}/Label/1.txt"] = f"{name} 10 5 30 25\n".encode()
            files[f"train/{name}/{name}.jpg"] = IMAGE
            files[f"train/{name}/Label/{name}.txt"] = f"{name} 10 5 30 25\n".encode()

        reading = read_by(open_images, files)

        assert reading.counts() == {"train": 3}
        assert len(reading.rows("train/Disc/1.jpg")) == 2


@pytest.mark.parametrize("module", [kitti, dota, open_images])
class TestRecognise:
    def test_yolo_labels_are_not_recognised(self, read_by: ReadBy, module: ModuleType) -> None:
        assert read_by(module, {"images/1.jpg": IMAGE, "labels/1.txt": YOLO}).files == []

    def test_other_texts_are_not_recognised(self, read_by: ReadBy, module: ModuleType) -> None:
        files = {"1.jpg": IMAGE, "README.txt": b"A set of 15 images, 2 3 4 5\n", "e.txt": b""}

        assert read_by(module, files).files == []
