"""Histograms of the API become bars with words."""

from typing import Any

from app.web.datasets.histograms import Histogram, heat_of, histograms_of


def statistics(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    one = {"edges": [640.0, 641.0], "counts": [7]}
    return {
        "objects_per_image": {"edges": [0, 1, 2, 5, 9], "counts": [0, 3, 1, 0]},
        "image_width": one,
        "image_height": one,
        "image_aspect": {"edges": [0.5, 1.0, 2.0], "counts": [3, 4]},
        "boxes": None,
        **changes,
    }


def named(title: str, measured: dict[str, Any], task: str = "detect") -> Histogram:
    (found,) = [each for each in histograms_of(measured, task) if each.title == title]
    return found


class TestBars:
    def test_empty_ends_are_left_out(self) -> None:
        found = named("Objects in an image", statistics())

        assert [(bar.label, bar.count) for bar in found.bars] == [("1", 3), ("2 to 4", 1)]
        assert (found.first, found.last) == ("1", "4")
        assert found.words == "Most often 1: 3 of 4."

    def test_bars_fill_the_width_and_the_highest_fills_the_height(self) -> None:
        first, second = named("Image aspect", statistics()).bars

        assert (first.x, second.x) == (0.0, 240.0)
        assert (second.y, second.height) == (0.0, 96.0)
        assert (first.y, first.height) == (24.0, 72.0)

    def test_a_value_that_all_images_share_is_a_sentence(self) -> None:
        assert named("Image width", statistics()).words == "All 7: 640 pixels."

    def test_shares_are_percentages(self) -> None:
        area = {"edges": [0.0, 0.001, 0.5, 1.0], "counts": [1, 2, 3]}
        measured = dict.fromkeys(("width", "height", "area", "aspect"), area)
        boxes = {**measured, "centres": []}

        found = named("Box area", statistics(boxes=boxes))

        labels = [bar.label for bar in found.bars]
        assert labels == ["0 % to 0.1 %", "0.1 % to 50 %", "50 % to 100 %"]

    def test_images_of_class_folders_have_no_number_of_objects(self) -> None:
        titles = [each.title for each in histograms_of(statistics(), "classify")]

        assert titles == ["Image width", "Image height", "Image aspect"]


class TestHeat:
    def test_a_cell_has_its_share_of_the_fullest(self) -> None:
        boxes = {"centres": [[0, 4], [1, 0]]}

        cells = heat_of({"boxes": boxes})

        assert [(cell.x, cell.y, cell.share) for cell in cells] == [(1, 0, 1.0), (0, 1, 0.25)]
