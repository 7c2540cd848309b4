"""Rows of labels become annotations of COCO JSON with the same coordinates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.datasets.stored.coco import CocoCategories, annotations_of

pytestmark = pytest.mark.unit

FRACTION, SMALL = st.floats(0.01, 0.99), st.floats(0.001, 0.02)
SIZES = st.tuples(st.integers(10, 4000), st.integers(10, 4000))
CATEGORIES = CocoCategories(["disc", "square"])
POSES = CocoCategories(["disc"], (2, 3), {0: ["left", "right"]})


class TestAnnotations:
    @given(size=SIZES, box=st.tuples(FRACTION, FRACTION, SMALL, SMALL))
    def test_a_box_has_the_same_corners_in_pixels(
        self, size: tuple[int, int], box: tuple[float, float, float, float]
    ) -> None:
        label = f"1 {' '.join(map(repr, box))}\n".encode()

        (annotation,) = annotations_of(label, size, CATEGORIES)

        left, top, width, height = annotation["bbox"]
        centre = ((left + width / 2) / size[0], (top + height / 2) / size[1])
        assert annotation["category_id"] == 2
        assert (*centre, width / size[0], height / size[1]) == pytest.approx(box, abs=1e-9)
        assert annotation["area"] == pytest.approx(width * height)

    def test_a_polygon_has_its_points_its_box_and_its_area(self) -> None:
        label = b"0 0.1 0.1 0.5 0.1 0.5 0.3 0.1 0.3\n"

        (annotation,) = annotations_of(label, (100, 200), CATEGORIES)

        assert annotation["segmentation"] == [pytest.approx([10, 20, 50, 20, 50, 60, 10, 60])]
        assert annotation["bbox"] == pytest.approx([10, 20, 40, 40])
        assert annotation["area"] == pytest.approx(1600)

    def test_keypoints_are_counted_if_they_are_marked(self) -> None:
        label = b"0 0.5 0.5 0.2 0.2 0.45 0.5 2 0 0 0\n"

        (annotation,) = annotations_of(label, (100, 100), POSES)

        assert annotation["keypoints"] == pytest.approx([45, 50, 2, 0, 0, 0])
        assert annotation["num_keypoints"] == 1
        assert POSES.as_json() == [{"id": 1, "name": "disc", "keypoints": ["left", "right"]}]

    def test_a_box_of_a_dataset_with_keypoints_is_a_box(self) -> None:
        (annotation,) = annotations_of(b"0 0.5 0.5 0.2 0.2\n", (100, 100), POSES)

        assert annotation["bbox"] == pytest.approx([40, 40, 20, 20])
        assert "keypoints" not in annotation

    def test_an_empty_label_has_no_annotation(self) -> None:
        assert list(annotations_of(b"", (10, 10), CATEGORIES)) == []
