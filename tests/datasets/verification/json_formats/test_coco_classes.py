"""Categories of COCO JSON become classes, and their keypoints the fields of a pose dataset."""

from typing import Any

import pytest

from app.datasets.reports.finding_codes import Code
from app.datasets.verification.formats.json_formats import coco
from tests.datasets.json_uploads import a_box, pictures
from tests.datasets.json_uploads import coco as a_coco
from tests.datasets.verification.json_formats.conftest import Read

POINTS = [10, 10, 2, 20, 20, 1, 0, 0, 0]
FIGURE = {"id": 1, "name": "figure", "keypoints": ["nose", "left_eye", "right_eye"]}
BOX_ROW = [0, 0.2, 0.4, 0.2, 0.4]


class TestPose:
    def test_keypoints_are_pose(self, read: Read) -> None:
        body = a_coco(annotations=[a_box(keypoints=POINTS)], categories=[FIGURE])
        files = {**pictures("a.jpg"), "person_keypoints_train2017.json": body}

        reading = read(coco, files)

        fields = reading.found.fields
        assert (reading.found.task, fields.kpt_shape, fields.flip_idx) == (
            "pose",
            (3, 3),
            [0, 2, 1],
        )
        assert fields.kpt_names == {0: ["nose", "left_eye", "right_eye"]}
        assert reading.rows("a.jpg") == [[*BOX_ROW, 0.1, 0.2, 2, 0.2, 0.4, 1, 0, 0, 0]]

    def test_an_annotation_without_a_labelled_keypoint_is_left_out(self, read: Read) -> None:
        boxes = [a_box(keypoints=POINTS), a_box(keypoints=[0] * 9, bbox=[1, 1, 5, 5])]
        files = {
            **pictures("a.jpg"),
            "k.json": a_coco(annotations=boxes, categories=[FIGURE]),
        }

        reading = read(coco, files)

        assert len(reading.rows("a.jpg")) == 1
        assert "labelled keypoint" in reading.messages(Code.ANNOTATION_IGNORED)

    def test_a_keypoint_outside_the_image_is_not_labelled(self, read: Read) -> None:
        box = a_box(keypoints=[10, 10, 2, 200, 20, 2, 0, 0, 0])
        files = {
            **pictures("a.jpg"),
            "k.json": a_coco(annotations=[box], categories=[FIGURE]),
        }

        reading = read(coco, files)

        assert reading.rows("a.jpg")[0][8:11] == [0, 0, 0]

    @pytest.mark.parametrize(
        ("names", "flips"),
        [
            (["LeftEar", "RightEar"], [1, 0]),
            (["l_eye", "r_eye", "tail"], [1, 0, 2]),
            (["left", "right", "top"], [1, 0, 2]),
            (["left_eye", "tail"], None),
            (["1", "2"], None),
        ],
    )
    def test_flips_follow_from_the_names_of_sides(
        self, read: Read, names: list[str], flips: list[int] | None
    ) -> None:
        box = a_box(keypoints=[10, 10, 2] * len(names))
        category = {"id": 1, "name": "figure", "keypoints": names}
        files = {**pictures("a.jpg"), "k.json": a_coco(annotations=[box], categories=[category])}

        assert read(coco, files).found.fields.flip_idx == flips

    def test_keypoints_of_instances_are_read_only_for_pose(self, read: Read) -> None:
        keypoints = a_coco(annotations=[a_box(keypoints=POINTS)], categories=[FIGURE])
        files = pictures("train2017/a.jpg", "val2017/b.jpg")
        files["annotations/instances_train2017.json"] = a_coco()
        files["annotations/person_keypoints_train2017.json"] = keypoints

        as_found = read(coco, files).found
        as_pose = read(coco, files, task="pose").found

        assert (as_found.task, as_found.names) == ("detect", ["disc"])
        assert (as_pose.task, as_pose.names) == ("pose", ["figure"])


class TestClasses:
    def test_names_are_in_the_order_of_their_ids(self, read: Read) -> None:
        categories: list[dict[str, Any]] = [
            {"id": 7, "name": "ring"},
            {"id": 1, "name": "no"},
            {"id": 3, "name": 2024},
        ]
        files = {**pictures("a.jpg"), "all.json": a_coco(categories=categories)}

        assert read(coco, files).found.names == ["no", "2024", "ring"]

    def test_the_group_that_roboflow_lists_first_is_no_class(self, read: Read) -> None:
        categories = [
            {"id": 0, "name": "shapes", "supercategory": "none"},
            {"id": 1, "name": "disc", "supercategory": "shapes"},
        ]
        files = {**pictures("a.jpg"), "all.json": a_coco(categories=categories)}

        reading = read(coco, files)

        assert reading.found.names == ["disc"]
        assert reading.rows("a.jpg") == [BOX_ROW]

    def test_a_group_with_annotations_is_a_class(self, read: Read) -> None:
        categories = [{"id": 0, "name": "disc"}, {"id": 1, "name": "ring", "supercategory": "disc"}]
        boxes = [a_box(), a_box(category_id=0)]
        body = a_coco(annotations=boxes, categories=categories)
        files = {**pictures("a.jpg"), "all.json": body}

        assert read(coco, files).found.names == ["disc", "ring"]

    def test_files_with_other_ids_agree_by_the_names(self, read: Read) -> None:
        files = pictures("train/a.jpg", "val/a.jpg")
        both = [{"id": 1, "name": "disc"}, {"id": 2, "name": "ring"}]
        turned = [{"id": 1, "name": "ring"}, {"id": 2, "name": "disc"}]
        files["train/train.json"] = a_coco(categories=both)
        files["val/val.json"] = a_coco(categories=turned)

        reading = read(coco, files)

        assert reading.found.names == ["disc", "ring"]
        assert reading.rows("val/a.jpg")[0][0] == 1

    def test_missing_categories_are_asked_for(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "all.json": a_coco(categories=[])}

        reading = read(coco, files)

        assert reading.source is None
        assert "`names`" in reading.messages(Code.NAMES_MISSING)

    def test_names_of_the_upload_replace_missing_categories(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "all.json": a_coco(categories=[])}

        reading = read(coco, files, names=("disc",))

        assert reading.found.names == ["disc"]
