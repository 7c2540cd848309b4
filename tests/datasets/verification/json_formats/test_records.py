"""LabelMe, CreateML, Label Studio and Supervisely become label rows."""

import base64
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.verification.formats.json_formats import (
    createml,
    label_studio,
    labelme,
    supervisely,
)
from tests.datasets.builders import encoded
from tests.datasets.json_uploads import as_json, pictures
from tests.datasets.verification.json_formats.conftest import Read

SQUARE = [[10, 10], [30, 10], [30, 30], [10, 30]]
TRIANGLE = [[10, 10], [30, 10], [20, 30]]


def a_shape(label: str = "disc", points: object = TRIANGLE, **keys: object) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": "polygon", **keys}


def a_labelme(*shapes: dict[str, Any], **keys: object) -> bytes:
    content = {
        "version": "5.4.1",
        "shapes": list(shapes),
        "imagePath": "..\\images\\a.jpg",
        "imageData": None,
        "imageWidth": 100,
        "imageHeight": 50,
    }
    return as_json({**content, **keys})


class TestLabelMe:
    def test_polygons_are_segment_with_names_in_order(self, read: Read) -> None:
        body = a_labelme(a_shape("ring"), a_shape("disc"))
        files = {**pictures("images/a.jpg"), "json/a.json": body}

        reading = read(labelme, files)

        assert (reading.found.task, reading.found.names) == ("segment", ["disc", "ring"])
        assert reading.rows("images/a.jpg")[0] == [1, 0.1, 0.2, 0.3, 0.2, 0.2, 0.6]

    def test_rectangles_are_detect(self, read: Read) -> None:
        corners = [[30, 30], [10, 10]]
        body = a_labelme(a_shape(points=corners, shape_type="rectangle"))
        files = {**pictures("a.jpg"), "a.json": body}

        reading = read(labelme, files)

        assert reading.found.task == "detect"
        assert reading.rows("a.jpg") == [[0, 0.2, 0.4, 0.2, 0.4]]

    def test_a_circle_is_a_polygon_around_its_centre(self, read: Read) -> None:
        body = a_labelme(a_shape(points=[[50, 25], [60, 25]], shape_type="circle"))
        files = {**pictures("a.jpg"), "a.json": body}

        reading = read(labelme, files, task="detect")

        assert reading.rows("a.jpg")[0] == pytest.approx([0, 0.5, 0.5, 0.2, 0.4], abs=1e-6)

    def test_a_mask_is_its_outline(self, read: Read) -> None:
        mask = Image.fromarray(np.ones((21, 11), np.uint8) * 255)
        text = base64.b64encode(encoded(mask)).decode()
        shape = a_shape(points=[[10, 10], [20, 30]], shape_type="mask", mask=text)
        files = {**pictures("a.jpg"), "a.json": a_labelme(shape)}

        reading = read(labelme, files, task="segment")

        assert reading.rows("a.jpg") == [[0, 0.1, 0.2, 0.1, 0.6, 0.2, 0.6, 0.2, 0.2]]

    def test_polygons_of_one_group_are_one_object(self, read: Read) -> None:
        other = [[60, 10], [80, 10], [70, 30]]
        body = a_labelme(a_shape(group_id=1), a_shape(points=other, group_id=1))
        files = {**pictures("a.jpg"), "a.json": body}

        assert len(read(labelme, files).rows("a.jpg")) == 1

    def test_lines_and_points_are_left_out_and_counted(self, read: Read) -> None:
        point = a_shape(points=[[1, 2]], shape_type="point")
        line = a_shape(points=[[1, 2], [3, 4], [9, 9]], shape_type="linestrip")
        files = {**pictures("a.jpg"), "a.json": a_labelme(a_shape(), point, line)}

        reading = read(labelme, files)

        assert len(reading.rows("a.jpg")) == 1
        assert "There are 2" in reading.messages(Code.ANNOTATION_IGNORED)

    def test_an_image_with_another_name_is_found_by_the_name_of_its_file(self, read: Read) -> None:
        files = {**pictures("b.png"), "b.json": a_labelme(a_shape(), imagePath="renamed.jpg")}

        assert read(labelme, files).counts == {None: 1}

    def test_the_split_is_the_folder(self, read: Read) -> None:
        files = pictures("train/a.jpg", "val/a.jpg")
        files |= {"train/a.json": a_labelme(a_shape()), "val/a.json": a_labelme(a_shape())}

        assert read(labelme, files).counts == {"train": 1, "val": 1}

    def test_embedded_images_alone_are_an_error_that_says_so(self, read: Read) -> None:
        files = {**pictures("other.jpg"), "a.json": a_labelme(a_shape(), imageData="/9j/4AAQ")}

        reading = read(labelme, files)

        assert reading.source is None
        assert "imageData" in reading.messages(Code.IMAGES_MISSING)

    def test_a_damaged_file_drops_its_image_only(self, read: Read) -> None:
        files = {**pictures("a.jpg", "b.jpg"), "a.json": a_labelme(a_shape())}
        files["b.json"] = a_labelme(a_shape())[:-5]

        reading = read(labelme, files)

        bad = [one for one in reading.findings.kept() if one.code is Code.ANNOTATION_UNREADABLE]
        assert [reading.image(f"{name}.jpg").fault for name in "ab"] == [
            None,
            Code.ANNOTATION_UNREADABLE,
        ]
        assert [(one.file, one.severity) for one in bad] == [("b.json", Severity.WARNING)]

    def test_many_files_are_recognised_by_a_few_of_them(self, read: Read) -> None:
        files = pictures(*(f"{number:03}.jpg" for number in range(60)))
        files |= {f"{number:03}.json": a_labelme(a_shape()) for number in range(60)}
        files["030.json"] = as_json({"notes": 1})

        reading = read(labelme, files)

        assert len(reading.recognised) == 60
        assert "not of LabelMe" in reading.messages(Code.ANNOTATION_IGNORED)

    def test_labels_that_are_no_class_names_are_an_error(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "a.json": a_labelme(a_shape("x" * 300))}

        assert Code.ANNOTATIONS_INVALID in read(labelme, files).codes()


def a_createml(image: str = "a.jpg", key: str = "annotations") -> dict[str, Any]:
    box = {"label": "disc", "coordinates": {"x": 20, "y": 20, "width": 20, "height": 10}}
    name = "image" if key == "annotations" else "imagefilename"
    return {name: image, key: [box]}


class TestCreateML:
    @pytest.mark.parametrize("key", ["annotations", "annotation"])
    def test_boxes_are_given_by_their_centres_in_pixels(self, read: Read, key: str) -> None:
        files = {**pictures("a.jpg"), "_annotations.createml.json": as_json([a_createml(key=key)])}

        reading = read(createml, files)

        assert reading.image("a.jpg").in_pixels
        assert reading.rows("a.jpg") == [[0, 20, 20, 20, 10]]

    def test_the_split_is_the_folder(self, read: Read) -> None:
        files = pictures("train/a.jpg", "valid/a.jpg")
        files["train/_annotations.createml.json"] = as_json([a_createml()])
        files["valid/_annotations.createml.json"] = as_json([a_createml()])

        assert read(createml, files).counts == {"train": 1, "val": 1}

    @pytest.mark.parametrize("annotation", [None, 7, {}, {"label": "disc", "coordinates": {}}])
    def test_an_entry_without_a_box_is_counted(self, read: Read, annotation: object) -> None:
        entry = a_createml()
        entry["annotations"].append(annotation)
        files = {**pictures("a.jpg"), "a.json": as_json([entry, 3, {"image": None}])}

        reading = read(createml, files)

        assert len(reading.rows("a.jpg")) == 1
        assert "without a label or a box" in reading.messages(Code.ANNOTATION_IGNORED)


def a_region(kind: str = "rectanglelabels", **value: object) -> dict[str, Any]:
    place = {"x": 10, "y": 20, "width": 20, "height": 40} | value
    return {
        "id": "r1",
        "type": kind,
        "value": {**place, kind: ["disc"]},
        "original_width": 100,
        "original_height": 50,
    }


def a_task(
    *results: dict[str, Any], image: str = "/data/upload/1/3f2a1b9c-a.jpg"
) -> dict[str, Any]:
    return {"id": 1, "annotations": [{"result": list(results)}], "data": {"image": image}}


class TestLabelStudio:
    def test_rectangles_are_in_percent(self, read: Read) -> None:
        files = {**pictures("a.jpg"), "project-1.json": as_json([a_task(a_region())])}

        reading = read(label_studio, files)

        assert reading.found.task == "detect"
        assert reading.rows("a.jpg") == [[0, 0.2, 0.4, 0.2, 0.4]]

    def test_polygons_are_segment(self, read: Read) -> None:
        polygon = a_region("polygonlabels", points=[[10, 20], [30, 20], [20, 60]])
        files = {**pictures("3f2a1b9c-a.jpg"), "project-1.json": as_json([a_task(polygon)])}

        reading = read(label_studio, files)

        assert reading.rows("3f2a1b9c-a.jpg") == [[0, 0.1, 0.2, 0.3, 0.2, 0.2, 0.6]]

    def test_a_turned_rectangle_keeps_its_corners_for_obb(self, read: Read) -> None:
        region = a_region(x=50, y=20, width=20, height=20, rotation=90)
        files = {**pictures("a.jpg"), "p.json": as_json([a_task(region)])}

        reading = read(label_studio, files, task="obb")

        corners = [0.5, 0.2, 0.5, 0.6, 0.4, 0.6, 0.4, 0.2]
        assert reading.rows("a.jpg")[0][1:] == pytest.approx(corners)

    @pytest.mark.parametrize(
        "image",
        ["/data/local-files/?d=images%2Fa.jpg", "s3://bucket/x/a.jpg", "http://host/a.jpg?token=1"],
    )
    def test_images_are_found_by_their_addresses(self, read: Read, image: str) -> None:
        files = {**pictures("images/a.jpg"), "p.json": as_json([a_task(a_region(), image=image)])}

        assert read(label_studio, files).counts == {None: 1}

    def test_the_small_form_is_read(self, read: Read) -> None:
        place = {"x": 10, "y": 20, "width": 20, "height": 40, "rectanglelabels": ["disc"]}
        region = {**place, "original_width": 100, "original_height": 50}
        task = {"id": 1, "image": "/data/upload/1/a.jpg", "label": [region], "annotator": 1}
        files = {**pictures("a.jpg"), "p.json": as_json([task])}

        assert read(label_studio, files).rows("a.jpg") == [[0, 0.2, 0.4, 0.2, 0.4]]

    def test_a_label_can_be_an_entry_of_its_own(self, read: Read) -> None:
        place = {
            "id": "r1",
            "type": "rectangle",
            "value": {"x": 1, "y": 1, "width": 9, "height": 9},
        }
        label = {"id": "r1", "type": "labels", "value": {**place["value"], "labels": ["ring"]}}  # type: ignore[dict-item]
        files = {**pictures("a.jpg"), "p.json": as_json([a_task(place, label)])}

        reading = read(label_studio, files)

        assert reading.found.names == ["ring"]
        assert len(reading.rows("a.jpg")) == 1

    def test_brush_masks_are_named_as_not_read(self, read: Read) -> None:
        brush = {"id": "r2", "type": "brushlabels", "value": {"rle": [1], "brushlabels": ["disc"]}}
        files = {**pictures("a.jpg"), "p.json": as_json([a_task(a_region(), brush)])}

        reading = read(label_studio, files)

        assert "brush mask" in reading.messages(Code.ANNOTATION_IGNORED)

    def test_brush_masks_alone_are_an_error(self, read: Read) -> None:
        brush = {"id": "r2", "type": "brushlabels", "value": {"rle": [1], "brushlabels": ["disc"]}}
        files = {**pictures("a.jpg"), "p.json": as_json([a_task(brush)])}

        reading = read(label_studio, files)

        assert "Brush masks" in reading.messages(Code.ANNOTATIONS_MISSING)

    def test_a_task_that_was_skipped_is_left_out(self, read: Read) -> None:
        skipped = a_task(a_region(), image="/data/upload/1/b.jpg")
        skipped["annotations"][0]["was_cancelled"] = True
        files = {**pictures("a.jpg", "b.jpg"), "p.json": as_json([a_task(a_region()), skipped])}

        assert read(label_studio, files).counts == {None: 1}


def an_object(**keys: object) -> dict[str, Any]:
    return {"classTitle": "disc", "points": {"exterior": SQUARE, "interior": []}, **keys}


def a_project(*objects: dict[str, Any]) -> dict[str, bytes]:
    classes = [{"title": "ring", "shape": "polygon"}, {"title": "disc", "shape": "polygon"}]
    content = {"tags": [], "size": {"height": 50, "width": 100}, "objects": list(objects)}
    return {
        "meta.json": as_json({"classes": classes, "tags": []}),
        "train/ann/a.jpg.json": as_json(content),
        **pictures("train/img/a.jpg"),
    }


class TestSupervisely:
    def test_classes_are_in_the_order_of_the_project(self, read: Read) -> None:
        files = a_project(an_object(geometryType="polygon"))

        reading = read(supervisely, files)

        assert reading.found.names == ["ring", "disc"]
        assert reading.counts == {"train": 1}
        assert "meta.json" in reading.found.read

    def test_rectangles_are_detect(self, read: Read) -> None:
        corners = {"exterior": [[10, 10], [30, 30]], "interior": []}
        files = a_project(an_object(geometryType="rectangle", points=corners))

        reading = read(supervisely, files)

        assert reading.found.task == "detect"
        assert reading.rows("train/img/a.jpg") == [[1, 0.2, 0.4, 0.2, 0.4]]

    def test_a_bitmap_is_its_outline(self, read: Read) -> None:
        pixels = np.zeros((21, 11, 4), np.uint8)
        pixels[..., 3] = 255
        png = encoded(Image.fromarray(pixels))
        data = base64.b64encode(zlib.compress(png)).decode()
        bitmap = {"data": data, "origin": [10, 10]}
        files = a_project(an_object(geometryType="bitmap", bitmap=bitmap, points=None))

        reading = read(supervisely, files, task="segment")

        assert reading.rows("train/img/a.jpg") == [[1, 0.1, 0.2, 0.1, 0.6, 0.2, 0.6, 0.2, 0.2]]

    @pytest.mark.parametrize(
        "value",
        [
            an_object(points=None),
            an_object(points={"exterior": [[1, 1]]}),
            an_object(geometryType="bitmap", bitmap={"data": "!", "origin": [1, 1]}),
            an_object(geometryType="bitmap", bitmap={"data": "eJw=", "origin": None}),
            {"classTitle": None},
            {},
        ],
    )
    def test_an_unusable_object_is_counted(self, read: Read, value: dict[str, Any]) -> None:
        reading = read(supervisely, a_project(an_object(), value))

        assert len(reading.rows("train/img/a.jpg")) == 1
        assert "bitmap is left out" in reading.messages(Code.ANNOTATION_IGNORED)
