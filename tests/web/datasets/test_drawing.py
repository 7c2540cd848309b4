"""Objects of a sample become outlines over its image."""

from typing import Any

import pytest

from app.web.datasets.drawing import MAX_KEYS, PictureGroup, album_of, key_of

NAMES = ["cat", "dog"]


def a_sample(*objects: dict[str, Any], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "file": "images/train/a.jpg",
        "split": "train",
        "width": 640,
        "height": 480,
        "preview": {"href": "/v1/datasets/dsv_x/previews/3", "width": 320, "height": 240},
        "objects_total": len(objects),
        "objects": [*objects],
        **changes,
    }


def drawn(*objects: dict[str, Any], **changes: Any) -> PictureGroup:  # noqa: ANN401
    return album_of([a_sample(*objects, **changes)], NAMES)


class TestOutlines:
    @pytest.mark.parametrize(
        ("shape", "path"),
        [
            ({"box": [0.5, 0.5, 0.2, 0.4]}, "M400 225L600 225L600 525L400 525Z"),
            ({"polygon": [0, 0, 0.5, 0, 0.5, 1]}, "M0 0L500 0L500 750Z"),
            ({"corners": [0, 0, 0.1, 0, 0.1, 0.1, 0, 0.1]}, "M0 0L100 0L100 75L0 75Z"),
        ],
    )
    def test_coordinates_are_those_of_the_drawing(self, shape: dict[str, Any], path: str) -> None:
        (drawing,) = drawn({"class": 0, **shape}).drawings

        assert drawing.height == 750
        assert [each.path for each in drawing.outlines] == [path]

    def test_points_that_fall_together_are_drawn_once(self) -> None:
        polygon = [0.1, 0.1, 0.1001, 0.1001, 0.5, 0.5]

        (drawing,) = drawn({"class": 0, "polygon": polygon}).drawings

        assert drawing.outlines[0].path == "M100 75L500 375Z"

    def test_key_points_that_are_not_in_the_image_are_left_out(self) -> None:
        points = [[0.1, 0.1, 2], [0.2, 0.2, 0], [0, 0, 1], [0.5, 0.5, 1]]

        (drawing,) = drawn({"class": 0, "box": [0.5, 0.5, 1, 1], "keypoints": points}).drawings

        assert drawing.outlines[0].points == "M100 75h0M500 375h0"

    def test_objects_of_a_class_are_one_path(self) -> None:
        box = {"box": [0.5, 0.5, 0.2, 0.2]}

        (drawing,) = drawn({"class": 1, **box}, {"class": 0, **box}, {"class": 1, **box}).drawings

        assert [each.group for each in drawing.outlines] == ["0", "1"]
        assert drawing.outlines[1].path.count("M") == 2


class TestWords:
    def test_objects_are_counted_by_class(self) -> None:
        box = {"box": [0.5, 0.5, 0.2, 0.2]}

        (drawing,) = drawn({"class": 1, **box}, {"class": 0, **box}, {"class": 1, **box}).drawings

        assert drawing.words == "1 cat, 2 dog"

    def test_an_image_of_a_class_folder_has_the_name_of_its_class(self) -> None:
        album = drawn({"class": 1})

        assert album.drawings[0].words == "dog"
        assert album.legend == []

    def test_objects_that_were_left_out_are_counted(self) -> None:
        (drawing,) = drawn({"class": 0, "box": [0.5, 0.5, 1, 1]}, objects_total=1234).drawings

        assert drawing.words == "1 cat, and 1,233 objects that are not drawn"

    def test_an_image_without_objects_says_so(self) -> None:
        assert drawn().drawings[0].words == "no objects"


class TestLegend:
    def test_32_classes_are_told_apart(self) -> None:
        assert len({key_of(number) for number in range(32)}) == 32

    def test_rare_classes_share_an_entry(self) -> None:
        box = {"box": [0.5, 0.5, 0.2, 0.2]}
        often = [{"class": number, **box} for number in range(MAX_KEYS)] * 2
        rare = [{"class": MAX_KEYS + number, **box} for number in range(3)]

        album = drawn(*often, *rare)

        assert len(album.legend) == MAX_KEYS + 1
        assert album.legend[-1].name == "3 other classes"
        assert {each.group for each in album.drawings[0].outlines[-3:]} == {"other"}
