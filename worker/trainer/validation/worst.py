"""Keeps the worst images of a validation while it runs."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from app.artifacts.validation import MOST_WORST
from worker.trainer.validation.curves import DIGITS, Json


@dataclass(order=True)
class _Kept:
    badness: float
    earlier: int
    image: Json = field(compare=False)


class WorstRecord:
    """Keeps `MOST_WORST` images: those with the highest badness; of equals, the earlier ones.

    An image without an error is not kept. Images are numbered in the order of `note`.
    """

    def __init__(self) -> None:
        self.images_total = 0
        self._kept: list[_Kept] = []

    def note(self, badness: float, make: Callable[[], Json]) -> None:
        """Count one image, and keep what `make` returns if the image is among the worst so far."""
        number = self.images_total
        self.images_total += 1
        rank = _Kept(badness, -number, {})
        if not badness > 0:
            return
        if len(self._kept) < MOST_WORST:
            heapq.heappush(self._kept, _Kept(badness, -number, make()))
        elif rank > self._kept[0]:
            heapq.heapreplace(self._kept, _Kept(badness, -number, make()))

    def worst_first(self) -> list[tuple[int, Json]]:
        """Return number and content of the kept images, the worst first."""
        return [
            (-kept.earlier, kept.image | {"badness": round(kept.badness, DIGITS)})
            for kept in sorted(self._kept, reverse=True)
        ]
