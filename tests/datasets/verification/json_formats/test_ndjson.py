"""Ultralytics NDJSON with its images in the archive becomes a dataset of its task."""

from typing import Any

import pytest

from app.datasets.reports.finding_codes import Code
from app.datasets.verification.formats.json_formats import ndjson
from tests.datasets.json_uploads import as_json, pictures
from tests.datasets.verification.json_formats.conftest import Read

BOX = [0, 0.5, 0.5, 0.2, 0.2]


def a_head(task: str = "detect", **keys: object) -> dict[str, Any]:
    return {"type": "dataset", "task": task, "class_names": {"0": "disc", "1": "ring"}, **keys}


def a_line(name: str = "a.jpg", split: str = "train", **annotations: object) -> dict[str, Any]:
    return {"type": "image", "file": name, "split": split, "annotations": annotations}


def lines(*values: object) -> bytes:
    return b"\n".join(as_json(value) for value in values) + b"\n"


class TestNdjson:
    def test_boxes_are_rows(self, read: Read) -> None:
        files = pictures("images/train/a.jpg", "images/val/a.jpg")
        files["set.ndjson"] = lines(
            a_head(), a_line(boxes=[BOX]), a_line(split="val", boxes=[[1, *BOX[1:]]])
        )

        reading = read(ndjson, files)

        assert reading.found.names == ["disc", "ring"]
        assert reading.counts == {"train": 1, "val": 1}
        assert reading.rows("images/val/a.jpg") == [[1, *BOX[1:]]]

    def test_the_rows_of_the_task_are_taken(self, read: Read) -> None:
        polygon = [0, 0.1, 0.1, 0.2, 0.1, 0.2, 0.2]
        body = lines(a_head("segment"), a_line(boxes=[BOX], segments=[polygon]))
        files = {**pictures("a.jpg"), "set.ndjson": body}

        assert read(ndjson, files).rows("a.jpg") == [polygon]

    def test_the_shape_of_poses_is_inferred(self, read: Read) -> None:
        pose = [*BOX, 0.5, 0.5, 2, 0.4, 0.4, 1]
        files = {**pictures("a.jpg"), "set.ndjson": lines(a_head("pose"), a_line(pose=[pose]))}

        reading = read(ndjson, files)

        assert reading.found.fields.kpt_shape == (2, 3)

    def test_the_shape_of_poses_is_taken_as_given(self, read: Read) -> None:
        pose = [*BOX, 0.5, 0.5, 0.4, 0.4, 0.1, 0.1]
        head = a_head("pose", kpt_shape=[3, 2], flip_idx=[1, 0, 2])
        files = {**pictures("a.jpg"), "set.ndjson": lines(head, a_line(pose=[pose]))}

        fields = read(ndjson, files).found.fields

        assert (fields.kpt_shape, fields.flip_idx) == ((3, 2), [1, 0, 2])

    def test_classes_of_images_are_classify(self, read: Read) -> None:
        body = lines(
            a_head("classify", class_names={"3": "disc", "5": "ring"}),
            a_line(classification=[5]),
            a_line("b.jpg", classification=[]),
        )
        files = {**pictures("a.jpg", "b.jpg"), "set.ndjson": body}

        reading = read(ndjson, files)

        assert (reading.found.task, reading.found.names) == ("classify", ["ring"])
        assert reading.image("a.jpg").label == 0
        assert "without a class" in reading.messages(Code.ANNOTATION_IGNORED)

    def test_a_class_without_a_name_gets_the_name_of_ultralytics(self, read: Read) -> None:
        body = lines(a_head(class_names={"0": "disc"}), a_line(boxes=[[2, *BOX[1:]]]))
        files = {**pictures("a.jpg"), "set.ndjson": body}

        assert read(ndjson, files).found.names == ["disc", "class1", "class2"]

    def test_an_image_with_a_url_only_is_an_error(self, read: Read) -> None:
        line = {**a_line("b.jpg", boxes=[BOX]), "url": "https://example.org/b.jpg"}
        body = lines(a_head(), a_line(boxes=[BOX]), line)
        files = {**pictures("a.jpg"), "set.ndjson": body}

        reading = read(ndjson, files)

        assert reading.source is None
        assert "URLs are not fetched" in reading.messages(Code.IMAGES_MISSING)

    def test_depth_is_named_as_not_read(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "set.ndjson": lines(a_head("depth"), a_line())}

        assert "'depth'" in read(ndjson, files).messages(Code.FORMAT_UNREAD)

    def test_a_line_that_is_not_json_is_an_error_with_its_number(self, read: Read) -> None:
        body = lines(a_head(), a_line(boxes=[BOX])) + b"{oops\n"
        files = {**pictures("a.jpg"), "set.ndjson": body}

        assert "line 3" in read(ndjson, files).messages(Code.ANNOTATIONS_INVALID)

    @pytest.mark.parametrize(
        "row", [[0, "x", 1, 1, 1], [None], 7, [[1]], [10**9, 1], [0, 10**400, 1, 1, 1], [{}]]
    )
    def test_a_row_that_is_no_label_is_left_to_the_check_of_labels(
        self, read: Read, row: object
    ) -> None:
        files = {**pictures("a.jpg"), "set.ndjson": lines(a_head(), a_line(boxes=[row]))}

        reading = read(ndjson, files)

        assert reading.counts == {"train": 1}
