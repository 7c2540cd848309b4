"""COCO JSON as tools write it becomes label rows of the right task, split and class."""

import json

import pytest

from app.datasets.reports.finding_codes import Code
from app.datasets.verification.formats.json_formats import coco
from tests.datasets.json_uploads import PICTURE, a_box, as_json, pictures
from tests.datasets.json_uploads import coco as a_coco
from tests.datasets.verification.json_formats.conftest import Read

TRIANGLE = [10, 10, 30, 10, 20, 30]
BOX_ROW = [0, 0.2, 0.4, 0.2, 0.4]


class TestLayouts:
    def test_roboflow_has_a_file_in_the_folder_of_each_split(self, read: Read) -> None:
        files = pictures("train/a.jpg", "valid/a.jpg", "test/a.jpg")
        for folder in ("train", "valid", "test"):
            files[f"{folder}/_annotations.coco.json"] = a_coco()

        reading = read(coco, files)

        assert reading.counts == {"train": 1, "val": 1, "test": 1}
        assert reading.rows("valid/a.jpg") == [BOX_ROW]

    def test_the_layout_of_2017_has_the_year_in_its_folders(self, read: Read) -> None:
        files = pictures("train2017/a.jpg", "val2017/a.jpg")
        files["annotations/instances_train2017.json"] = a_coco()
        files["annotations/instances_val2017.json"] = a_coco()

        reading = read(coco, files)

        assert {split: images[0].image for split, images in reading.found.images.items()} == {
            "train": "train2017/a.jpg",
            "val": "val2017/a.jpg",
        }

    def test_cvat_has_subsets_with_capitals(self, read: Read) -> None:
        files = pictures("images/Train/a.jpg", "images/Validation/a.jpg")
        files["annotations/instances_Train.json"] = a_coco()
        files["annotations/instances_Validation.json"] = a_coco()

        reading = read(coco, files)

        assert reading.counts == {"train": 1, "val": 1}

    def test_cvat_without_subsets_has_no_split(self, read: Read) -> None:
        files = {**pictures("images/a.jpg"), "annotations/instances_default.json": a_coco()}

        reading = read(coco, files)

        assert reading.counts == {None: 1}

    def test_one_file_for_all_takes_the_split_from_the_path_of_the_image(self, read: Read) -> None:
        files = pictures("train/a.jpg", "val/b.jpg")
        files["annotations.json"] = a_coco({1: "a.jpg", 2: "b.jpg"})

        reading = read(coco, files)

        assert reading.counts == {"train": 1, "val": 1}

    def test_label_studio_names_images_by_the_path_of_its_server(self, read: Read) -> None:
        names = {1: "images\\3f2a1b9c-a.jpg", 2: "../../label-studio/data/media/upload/1/b.jpg"}
        files = {**pictures("images/3f2a1b9c-a.jpg", "images/b.jpg"), "result.json": a_coco(names)}

        reading = read(coco, files)

        assert reading.counts == {None: 2}

    def test_several_files_of_one_split_are_merged(self, read: Read) -> None:
        files = pictures("train/a.jpg")
        other = [{"id": 1, "name": "ring"}]
        files["annotations/disc_train.json"] = a_coco()
        files["annotations/ring_train.json"] = a_coco(categories=other)

        reading = read(coco, files)

        assert reading.found.names == ["disc", "ring"]
        assert reading.rows("train/a.jpg") == [BOX_ROW, [1, *BOX_ROW[1:]]]

    def test_an_image_of_a_named_split_is_not_repeated_by_a_file_for_all(self, read: Read) -> None:
        files = pictures("images/a.jpg")
        files["annotations/all.json"] = a_coco()
        files["annotations/train.json"] = a_coco()

        reading = read(coco, files)

        assert reading.counts == {"train": 1}
        assert reading.rows("images/a.jpg") == [BOX_ROW]

    def test_an_image_that_no_file_lists_is_not_in_the_dataset(self, read: Read) -> None:
        files = {**pictures("a.jpg", "b.jpg"), "all.json": a_coco()}

        reading = read(coco, files)

        assert [image.image for image in reading.found.images[None]] == ["a.jpg"]

    def test_an_image_without_annotations_is_a_background(self, read: Read) -> None:
        files = {
            **pictures("a.jpg", "b.jpg"),
            "c.json": a_coco({1: "a.jpg", 2: "b.jpg"}, [a_box()]),
        }

        reading = read(coco, files)

        assert reading.rows("b.jpg") == []

    def test_a_byte_order_mark_is_accepted(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "all.json": b"\xef\xbb\xbf" + a_coco()}

        reading = read(coco, files)

        assert reading.counts == {None: 1}


class TestRecognition:
    @pytest.mark.parametrize(
        "content",
        [
            {"categories": [{"id": 0, "name": "disc"}], "info": {"contributor": "Label Studio"}},
            {"images": "none", "name": "a web page"},
            [{"image": "a.jpg", "annotations": []}],
            {},
        ],
        ids=["notes", "other", "createml", "empty"],
    )
    def test_another_json_is_not_coco(self, read: Read, content: object) -> None:
        files = {**pictures("a.jpg"), "notes.json": as_json(content)}

        reading = read(coco, files)

        assert reading.recognised == []

    def test_annotations_before_images_are_coco(self, read: Read) -> None:
        boxes = [a_box() for _ in range(2000)]
        content = {"annotations": boxes, "images": [], "categories": []}
        files = {**pictures("a.jpg"), "x.json": as_json(content)}

        reading = read(coco, files)

        assert reading.recognised == ["x.json"]

    def test_captions_are_named_as_not_read(self, read: Read) -> None:
        captions = [{"image_id": 1, "id": 1, "caption": "A disc."}]
        files = {**pictures("a.jpg"), "captions_train2017.json": a_coco(annotations=captions)}

        reading = read(coco, files)

        assert reading.source is None
        assert "COCO captions" in reading.messages(Code.FORMAT_UNREAD)

    def test_panoptic_annotations_are_named_as_not_read(self, read: Read) -> None:
        segments = [{"image_id": 1, "file_name": "a.png", "segments_info": [{"category_id": 1}]}]
        files = {**pictures("a.jpg"), "panoptic_val2017.json": a_coco(annotations=segments)}

        reading = read(coco, files)

        assert reading.source is None
        assert "COCO panoptic" in reading.messages(Code.FORMAT_UNREAD)

    def test_captions_beside_instances_are_left_out(self, read: Read) -> None:
        captions = [{"image_id": 1, "id": 1, "caption": "A disc."}]
        files = pictures("train2017/a.jpg", "val2017/b.jpg")
        files["annotations/captions_train2017.json"] = a_coco(annotations=captions)
        files["annotations/instances_train2017.json"] = a_coco()

        reading = read(coco, files)

        assert reading.rows("train2017/a.jpg") == [BOX_ROW]
        assert Code.ANNOTATION_IGNORED in reading.codes()


class TestTask:
    def test_boxes_are_detect(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "all.json": a_coco(annotations=[a_box(segmentation=[])])}

        assert read(coco, files).found.task == "detect"

    def test_rectangles_around_boxes_are_detect(self, read: Read) -> None:
        rectangle = [[10, 10, 30, 10, 30, 30, 10, 30]]
        box = a_box(segmentation=rectangle)
        files = {**pictures("a.jpg"), "all.json": a_coco(annotations=[box])}

        assert read(coco, files).found.task == "detect"

    def test_polygons_are_segment(self, read: Read) -> None:
        files = {
            **pictures("a.jpg"),
            "all.json": a_coco(annotations=[a_box(segmentation=[TRIANGLE])]),
        }

        reading = read(coco, files)

        assert reading.found.task == "segment"
        assert reading.rows("a.jpg") == [[0, 0.1, 0.2, 0.3, 0.2, 0.2, 0.6]]

    def test_polygons_give_their_boxes_for_detect(self, read: Read) -> None:
        box = a_box(segmentation=[TRIANGLE], bbox=None)
        files = {**pictures("a.jpg"), "all.json": a_coco(annotations=[box])}

        reading = read(coco, files, task="detect")

        assert reading.rows("a.jpg") == [BOX_ROW]

    def test_a_box_among_polygons_becomes_its_rectangle(self, read: Read) -> None:
        boxes = [a_box(segmentation=[TRIANGLE]), a_box(segmentation=[TRIANGLE]), a_box()]
        files = {**pictures("a.jpg"), "all.json": a_coco(annotations=boxes)}

        reading = read(coco, files)

        assert reading.rows("a.jpg")[-1] == [0, 0.1, 0.2, 0.3, 0.2, 0.3, 0.6, 0.1, 0.6]
        assert "rectangle of its box" in reading.messages(Code.ANNOTATION_CLIPPED)

    def test_polygons_of_four_points_are_the_corners_for_obb(self, read: Read) -> None:
        turned = [[20, 10, 30, 20, 20, 30, 10, 20]]
        box = a_box(segmentation=turned)
        files = {**pictures("a.jpg"), "all.json": a_coco(annotations=[box])}

        reading = read(coco, files, task="obb")

        assert reading.rows("a.jpg") == [[0, 0.2, 0.2, 0.3, 0.4, 0.2, 0.6, 0.1, 0.4]]

    def test_a_task_without_such_targets_names_those_that_fit(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "all.json": a_coco()}

        reading = read(coco, files, task="depth")

        assert reading.source is None
        assert "detect, segment" in reading.messages(Code.TASK_NEEDED)


class TestFaults:
    def test_an_image_that_is_not_in_the_archive_is_counted(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "all.json": a_coco({1: "a.jpg", 2: "gone.jpg", 3: "x.jpg"})}

        reading = read(coco, files)

        assert reading.counts == {None: 1}
        assert "There are 2, the first of 'gone.jpg'" in reading.messages(Code.ANNOTATION_IGNORED)

    def test_an_image_of_another_split_with_the_same_name_is_not_taken(self, read: Read) -> None:
        files = pictures("train/b.jpg", "valid/a.jpg")
        files["train/x.json"] = a_coco({1: "a.jpg", 2: "b.jpg"})

        reading = read(coco, files)

        assert [image.image for image in reading.found.images["train"]] == ["train/b.jpg"]

    def test_no_image_in_the_archive_is_an_error(self, read: Read) -> None:
        files = {"x/all.json": a_coco(), **pictures("other.jpg")}

        reading = read(coco, files)

        assert reading.source is None
        assert "'a.jpg'" in reading.messages(Code.IMAGES_MISSING)

    @pytest.mark.parametrize(
        ("annotation", "reason"),
        [
            (a_box(9), "does not list"),
            (a_box(category_id=5), "does not list"),
            (a_box(bbox=[10, 10, 0, 5]), "without an area"),
            (a_box(bbox=[500, 10, 10, 5]), "without an area"),
            (a_box(bbox=None), "without an area"),
            (a_box(bbox=[10, 10, 5]), "without an area"),
            (a_box(bbox=["x", 1, 1, 1]), "without an area"),
            (a_box(bbox=[1e300, 1, 1, 1]), "without an area"),
            (a_box(iscrowd=1), "crowd"),
        ],
    )
    def test_an_unusable_annotation_is_left_out_and_counted(
        self, read: Read, annotation: dict[str, object], reason: str
    ) -> None:
        body = a_coco(annotations=[a_box(), a_box(bbox=[5, 5, 5, 5]), annotation])
        files = {**pictures("a.jpg"), "all.json": body}

        reading = read(coco, files)

        assert len(reading.rows("a.jpg")) == 2
        assert reason in reading.messages(Code.ANNOTATION_IGNORED)

    def test_a_box_beyond_the_image_is_cut_and_counted(self, read: Read) -> None:
        body = a_coco(annotations=[a_box(bbox=[90, -10, 20, 20])])
        files = {**pictures("a.jpg"), "all.json": body}

        reading = read(coco, files)

        assert reading.rows("a.jpg") == [[0, 0.95, 0.1, 0.1, 0.2]]
        assert Code.ANNOTATION_CLIPPED in reading.codes()

    def test_rows_are_in_pixels_where_the_size_is_missing(self, read: Read) -> None:
        content = json.loads(a_coco())
        content["images"][0].update(width=0, height=None)
        files = {**pictures("a.jpg"), "all.json": as_json(content)}

        reading = read(coco, files)

        assert reading.image("a.jpg").in_pixels
        assert reading.rows("a.jpg") == [[0, 20, 20, 20, 20]]

    def test_masks_that_a_tool_marks_as_crowds_are_objects(self, read: Read) -> None:
        encoded = {"size": [50, 100], "counts": [510, 20, 30, 20, 4420]}
        box = a_box(iscrowd=1, segmentation=encoded)
        files = {**pictures("a.jpg"), "all.json": a_coco(annotations=[box])}

        reading = read(coco, files)

        assert reading.rows("a.jpg") == [[0, 0.1, 0.2, 0.1, 0.58, 0.11, 0.58, 0.11, 0.2]]

    def test_no_annotations_at_all_is_an_error(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "all.json": a_coco(annotations=[])}

        reading = read(coco, files)

        assert Code.ANNOTATIONS_MISSING in reading.codes()

    @pytest.mark.parametrize("end", [b"", b"]", b'{"x"', b"\xff", b"NaN}"])
    def test_a_file_that_is_not_json_is_an_error(self, read: Read, end: bytes) -> None:
        files = {**pictures("a.jpg"), "all.json": a_coco()[:-40] + end}

        reading = read(coco, files)

        assert reading.source is None
        assert "all.json" in reading.messages(Code.ANNOTATIONS_INVALID)

    @pytest.mark.parametrize("deep", [b"[" * 5000, b"[" * 200 + b"]" * 200])
    def test_deep_nesting_is_an_error(self, read: Read, deep: bytes) -> None:
        files = {"all.json": a_coco()[:-1] + b', "x": ' + deep, "a.jpg": PICTURE}

        reading = read(coco, files)

        assert "levels" in reading.messages(Code.ANNOTATIONS_INVALID)

    @pytest.mark.parametrize("text", ["[" * 70_000, '\\"[' * 30_000, "\\" * 65_530 + '"[{' * 99])
    def test_brackets_in_texts_are_no_nesting(self, read: Read, text: str) -> None:
        files = {**pictures("a.jpg"), "all.json": a_coco(info={"description": text})}

        reading = read(coco, files, files=["all.json"])

        assert reading.counts == {None: 1}
