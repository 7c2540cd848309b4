"""Statistics count what training reads: classes, boxes, sizes, positions and empty images."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from app.datasets.reports.overview import Histogram, StoredStatistics
from app.datasets.reports.report import Limits, Split
from app.datasets.verification.labels import LabelRules, check_labels
from app.datasets.verification.overview.counts import ImageCounts

RULES = LabelRules("detect", 3)
TWO_BOXES = "0 0.5 0.5 0.2 0.4\n2 0.03 0.97 0.05 0.05\n"


def measured(
    images: Mapping[str, str], *, size: tuple[int, int] = (640, 480), rules: LabelRules = RULES
) -> StoredStatistics:
    """Measure images by path; the text is the label file."""
    counts = ImageCounts(rules.classes, has_classes=True)
    instances: dict[Split, Counter[int]] = {}
    for path, text in images.items():
        split: Split = "val" if path.startswith("val") else "train"
        labels = check_labels(text.encode(), rules, Limits())
        instances.setdefault(split, Counter()).update(labels.class_counts)
        counts.note(split, path, size, labels.class_counts, labels)
    return counts.statistics(instances)


def bins(histogram: Histogram) -> dict[float, int]:
    """Return the counts that are not 0 by the lower edge of their bin."""
    assert len(histogram.edges) == len(histogram.counts) + 1
    return {
        edge: count for edge, count in zip(histogram.edges, histogram.counts, strict=False) if count
    }


class TestCounts:
    def test_instances_and_images_are_counted_by_class_and_split(self) -> None:
        twice = "1 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n"

        found = measured({"train/a": TWO_BOXES, "train/b": twice, "val/c": TWO_BOXES})

        assert found.instances == {"train": [1, 2, 1], "val": [1, 0, 1]}
        assert found.images == {"train": [1, 1, 1], "val": [1, 0, 1]}

    def test_boxes_are_measured_as_fractions_and_their_aspect_in_pixels(self) -> None:
        boxes = measured({"train/a": "0 0.5 0.5 0.21 0.28\n"}).boxes

        assert boxes is not None
        assert bins(boxes.width) == {0.2: 1}
        assert bins(boxes.height) == {0.25: 1}
        assert bins(boxes.area) == {round(10**-1.25, 6): 1}
        assert bins(boxes.aspect) == {round(2**-0.25, 6): 1}

    def test_centres_are_counted_on_a_grid(self) -> None:
        boxes = measured({"train/a": TWO_BOXES}).boxes

        assert boxes is not None
        assert np.argwhere(boxes.centres).tolist() == [[8, 8], [15, 0]]

    def test_values_beyond_the_image_count_in_the_last_bin(self) -> None:
        rules = LabelRules("segment", 1)

        boxes = measured({"train/a": "0 0 0 1.009 0 1.009 1.009 0 1.009\n"}, rules=rules).boxes

        assert boxes is not None
        assert (boxes.width.counts[-1], boxes.area.counts[-1]) == (1, 1)

    def test_empty_images_are_counted_and_the_first_are_named(self) -> None:
        images = {f"train/{number:03}": "" for number in range(120)} | {"val/a": TWO_BOXES}

        empty = measured(images).empty_images

        assert (empty["train"].count, empty["val"].count) == (120, 0)
        assert empty["train"].files == sorted(images)[:100]

    def test_objects_of_each_image_are_counted(self) -> None:
        found = measured({"train/a": "", "train/b": TWO_BOXES, "train/c": TWO_BOXES})

        assert bins(found.objects_per_image) == {0: 1, 2: 2}

    def test_sizes_of_equal_images_are_one_bin(self) -> None:
        found = measured({"train/a": "", "train/b": ""})

        assert bins(found.image_width) == {640: 2}
        assert [(each.width, each.height, each.images) for each in found.image_sizes] == [
            (640, 480, 2)
        ]

    def test_every_image_is_in_one_bin_of_each_histogram(self) -> None:
        counts = ImageCounts(1, has_classes=False)
        for side in range(10, 500, 7):
            counts.note("train", "a", (side, 2 * side + 1), (), None)

        found = counts.statistics({})

        of_images = (found.image_width, found.image_height, found.image_aspect)
        assert {sum(histogram.counts) for histogram in of_images} == {70}
        assert (found.boxes, found.empty_images["train"].count) == (None, 0)
