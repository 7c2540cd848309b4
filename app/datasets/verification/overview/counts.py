"""Measure images and boxes: histograms, positions, sizes, and which images are empty."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.datasets.reports.overview import (
    GRID_SIDE,
    MAX_EMPTY_SHOWN,
    BoxStatistics,
    EmptyImages,
    Histogram,
    ImageSize,
    StoredStatistics,
)
from app.datasets.reports.report import Split
from app.datasets.verification.labels import CheckedLabels

Edges = NDArray[np.float64]
Numbers = NDArray[np.float32]

SIDE_EDGES: Final[Edges] = np.linspace(0, 1, 21)
AREA_EDGES: Final[Edges] = np.concatenate(([0.0], 10.0 ** (np.arange(-19, 1) / 4)))
"""Four to a factor of ten, from 0.00002 of the image."""

ASPECT_EDGES: Final[Edges] = 2.0 ** (np.arange(-17, 18, 2) / 4)
"""Around 1 / 16, … 1 / 2, 1, 2, … 16, two to a factor of two."""

OBJECTS_EDGES: Final[Edges] = np.array(
    [0, 1, 2, 3, 4, 5, 6, 8, 11, 16, 21, 31, 51, 101, 201, 501, 1001, 100_001], np.float64
)
SIZE_BINS: Final = 20
MAX_SIZES_SHOWN: Final = 20
ROWS_AT_ONCE: Final = 16_384
DECIMALS: Final = 6


class _Bins:
    """Counts values between fixed edges; values beyond count in the first or the last bin."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges
        self._counts = np.zeros(len(edges) - 1, np.int64)

    def add(self, values: NDArray[np.float64]) -> None:
        inside = np.clip(values, self._edges[0], self._edges[-1])
        self._counts += np.histogram(inside, self._edges)[0]

    def histogram(self) -> Histogram:
        edges = self._edges.round(DECIMALS).tolist()
        return Histogram(edges=edges, counts=self._counts.tolist())


class BoxCounts:
    """Counts the boxes of many label files at once."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Numbers, float]] = []
        self._rows = 0
        self._width, self._height = _Bins(SIDE_EDGES), _Bins(SIDE_EDGES)
        self._area, self._aspect = _Bins(AREA_EDGES), _Bins(ASPECT_EDGES)
        self._centres = np.zeros((GRID_SIDE, GRID_SIDE), np.int64)

    def note(self, boxes: Numbers, aspect: float) -> None:
        """Note the boxes of an image, (n, 4 or more): centre, width, height; and its aspect."""
        self._waiting.append((boxes, aspect))
        self._rows += len(boxes)
        if self._rows >= ROWS_AT_ONCE:
            self._measure()

    def statistics(self) -> BoxStatistics:
        """Return the histograms of all boxes."""
        self._measure()
        return BoxStatistics(
            width=self._width.histogram(),
            height=self._height.histogram(),
            area=self._area.histogram(),
            aspect=self._aspect.histogram(),
            centres=self._centres.tolist(),
        )

    def _measure(self) -> None:
        if not self._waiting:
            return
        boxes = np.concatenate([boxes[:, :4] for boxes, _ in self._waiting])
        counts = [len(boxes) for boxes, _ in self._waiting]
        aspects = np.repeat([aspect for _, aspect in self._waiting], counts)
        self._waiting.clear()
        self._rows = 0
        x, y, width, height = np.clip(boxes.astype(np.float64), 0, 1).T
        self._width.add(width)
        self._height.add(height)
        self._area.add(width * height)
        has_area = (width > 0) & (height > 0)
        self._aspect.add((width * aspects)[has_area] / height[has_area])
        column, row = (np.minimum(at * GRID_SIDE, GRID_SIDE - 1).astype(int) for at in (x, y))
        cells = np.bincount(row * GRID_SIDE + column, minlength=GRID_SIDE**2)
        self._centres += cells.reshape(GRID_SIDE, GRID_SIDE)


class ImageCounts:
    """Counts the images of a dataset with their labels, one after another.

    Without classes, as for depth, no image counts as empty.
    """

    def __init__(self, classes: int, *, has_classes: bool) -> None:
        self._classes = classes
        self._has_classes = has_classes
        self._shown: dict[Split, Counter[int]] = {}
        self._empty: dict[Split, list[str]] = defaultdict(list)
        self._empty_counts: Counter[Split] = Counter()
        self._widths, self._heights = array("I"), array("I")
        self._objects = array("I")
        self._boxes: BoxCounts | None = None

    def note(
        self,
        split: Split,
        path: str,
        size: tuple[int, int],
        classes: Collection[int],
        labels: CheckedLabels | None,
    ) -> None:
        """Note one image.

        Args:
            split: its split.
            path: its path in the pack.
            size: its width and height in pixels.
            classes: the classes that it shows.
            labels: its labels; None if its target is no label file.
        """
        self._widths.append(size[0])
        self._heights.append(size[1])
        shown = self._shown.setdefault(split, Counter())
        for number in classes:
            shown[number] += 1
        if labels is None:
            self._objects.append(len(classes))
        else:
            self._objects.append(labels.objects)
            self._note_boxes(labels, size)
        if self._has_classes and not classes:
            self._empty_counts[split] += 1
            if self._empty_counts[split] <= MAX_EMPTY_SHOWN:
                self._empty[split].append(path)

    def _note_boxes(self, labels: CheckedLabels, size: tuple[int, int]) -> None:
        if self._boxes is None:
            self._boxes = BoxCounts()
        if labels.rows is not None:
            self._boxes.note(labels.rows[:, 1:], size[0] / size[1])

    def statistics(self, instances: Mapping[Split, Counter[int]]) -> StoredStatistics:
        """Return the statistics of all images; `instances` counts the objects by split."""
        widths, heights = np.array(self._widths), np.array(self._heights)
        aspects, objects = _Bins(ASPECT_EDGES), _Bins(OBJECTS_EDGES)
        aspects.add(widths / heights)
        objects.add(np.array(self._objects, np.float64))
        return StoredStatistics(
            instances={split: self._in_order(counts) for split, counts in instances.items()},
            images={split: self._in_order(counts) for split, counts in self._shown.items()},
            empty_images={
                split: EmptyImages(count=self._empty_counts[split], files=self._empty[split])
                for split in self._shown
            },
            image_sizes=_most_frequent(widths, heights),
            image_width=_size_histogram(widths),
            image_height=_size_histogram(heights),
            image_aspect=aspects.histogram(),
            objects_per_image=objects.histogram(),
            boxes=None if self._boxes is None else self._boxes.statistics(),
        )

    def _in_order(self, counts: Counter[int]) -> list[int]:
        return [counts[number] for number in range(self._classes)]


def _size_histogram(sides: NDArray[np.uint32]) -> Histogram:
    """Return a histogram of sides in pixels, between whole numbers."""
    low, high = int(sides.min()), int(sides.max()) + 1
    edges = np.unique(np.linspace(low, high, SIZE_BINS + 1).round())
    counts, _ = np.histogram(sides, edges)
    return Histogram(edges=edges.tolist(), counts=counts.tolist())


def _most_frequent(widths: NDArray[np.uint32], heights: NDArray[np.uint32]) -> list[ImageSize]:
    sizes, counts = np.unique(np.stack((widths, heights)), axis=1, return_counts=True)
    often = np.argsort(-counts, kind="stable")[:MAX_SIZES_SHOWN]
    return [
        ImageSize(width=int(sizes[0, at]), height=int(sizes[1, at]), images=int(counts[at]))
        for at in often
    ]
