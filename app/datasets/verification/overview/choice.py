"""Choose the images that are shown, before it is known which images follow.

The choice depends on the paths and labels alone. Each cell, such as a class in a split, keeps the
images with the smallest hashes of their paths.
"""

import hashlib
from bisect import insort
from collections.abc import Collection, Sequence
from typing import Final

from app.datasets.reports.report import Split

MAX_SAMPLES: Final = 400
MAX_PER_CELL: Final = 24
MAX_CLASSES: Final = 1000
"""Most classes that are sure to be shown; of more, several share a cell."""

SEED: Final = b"samples"
EMPTY, CROWDED = "empty", "crowded"
MAX_CROWDED: Final = 6
"""Images of a split that are shown because they have the most objects."""

Cell = tuple[Split | None, int | str]
Priority = tuple[int, int]


class Choice:
    """Decides for each image whether it is shown, and which earlier one it takes the place of."""

    def __init__(self, splits: Collection[Split], classes: int) -> None:
        by_split = classes * len(splits)
        self._of_split = by_split <= MAX_SAMPLES
        cells = 2 * len(splits) + (by_split if self._of_split else min(classes, MAX_CLASSES))
        self._per_cell = max(1, min(MAX_PER_CELL, MAX_SAMPLES // max(cells, 1)))
        self._cells: dict[Cell, list[tuple[Priority, int]]] = {}
        self._uses: dict[int, int] = {}

    def offer(
        self, number: int, path: str, split: Split, classes: Collection[int], objects: int
    ) -> tuple[bool, Sequence[int]]:
        """Return whether the image is shown for now, and the earlier images that no longer are.

        Args:
            number: identifies the image.
            path: its path in the pack.
            split: its split.
            classes: the classes that it shows.
            objects: the number of its objects.
        """
        hashed = int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8, key=SEED).digest())
        common = (0, hashed)
        gone = []
        for cell in self._cells_of(split, classes):
            priority = (-objects, hashed) if cell[1] == CROWDED else common
            gone += self._place(cell, priority, number)
        return number in self._uses, gone

    def _cells_of(self, split: Split, classes: Collection[int]) -> list[Cell]:
        if not classes:
            return [(split, EMPTY)]
        crowded = (split, CROWDED)
        if self._of_split:
            return [crowded, *((split, number) for number in classes)]
        return [
            crowded,
            *((None, number) for number in {number % MAX_CLASSES for number in classes}),
        ]

    def _place(self, cell: Cell, priority: Priority, number: int) -> list[int]:
        kept = self._cells.setdefault(cell, [])
        most = min(self._per_cell, MAX_CROWDED) if cell[1] == CROWDED else self._per_cell
        is_full = len(kept) == most
        if is_full and priority >= kept[-1][0]:
            return []
        last = kept.pop()[1] if is_full else None
        insort(kept, (priority, number))
        self._uses[number] = self._uses.get(number, 0) + 1
        return [] if last is None else self._release(last)

    def _release(self, number: int) -> list[int]:
        self._uses[number] -= 1
        if self._uses[number]:
            return []
        del self._uses[number]
        return [number]
