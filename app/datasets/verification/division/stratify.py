"""Divide images into splits so that every split has its share of every class.

This is iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of
Multi-Label Data"): the rarest class is distributed first, and each of its images goes to the split
that lacks most of that class. Three rules are added: every class with two or more images is in val,
the splits have exactly the sizes that are wanted if that is possible, and images that look alike
are placed as one unit. The answer depends on the units only; chance is seeded.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Final

from app.datasets.reports.report import Split, SplitShares

BACKGROUND: Final = -1
"""Images without an object are distributed like a class, but no split must have one of them."""

SEED: Final = 0
NEVER_EMPTY: Final[tuple[Split, ...]] = ("train", "val")
MAX_CANDIDATES: Final = 256
"""The most units of a class that are compared to choose the one for val."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Images that go to one split: their positions, and how many of them show each class."""

    images: tuple[int, ...]
    classes: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """The number of images."""
        return len(self.images)


def sizes_of(images: int, shares: SplitShares) -> dict[Split, int]:
    """Return how many of two or more images each split gets.

    val gets its rounded share and at least one image; so does test, if it has a share and there are
    three images or more. train gets the others, at least one.
    """
    sizes: dict[Split, int] = {"val": max(1, round(shares.val * images))}
    if shares.test and images > len(sizes) + 1:
        sizes["test"] = max(1, round(shares.test * images))
    while sum(sizes.values()) >= images:
        sizes[max(sizes, key=lambda split: sizes[split])] -= 1
    return {"train": images - sum(sizes.values()), **sizes}


def units_of(groups: Sequence[Sequence[int]], classes: Sequence[tuple[int, ...]]) -> list[Unit]:
    """Make units of groups of positions; `classes` are those of the image at each position.

    A group that holds all images of a class is cut, so that train and val can both have the class.
    """
    return [
        Unit(tuple(part), _classes_in(part, classes)) for part in _spread_groups(groups, classes)
    ]


def divide(units: Sequence[Unit], sizes: Mapping[Split, int]) -> list[Split]:
    """Return the split of each unit.

    Args:
        units: all images, in an order that depends only on them; two units or more.
        sizes: wanted number of images of train, val and perhaps test. val grows if its classes need
            it, and any size differs if no choice of units gives it.
    """
    division = _Division(units, sizes)
    division.cover_classes()
    division.distribute()
    division.settle_sizes()
    division.fill_empty_splits()
    return division.splits()


def _classes_in(
    part: Sequence[int], classes: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, int], ...]:
    counts = Counter(number for image in part for number in classes[image] or (BACKGROUND,))
    return tuple(sorted(counts.items()))


def _spread_groups(
    groups: Sequence[Sequence[int]], classes: Sequence[tuple[int, ...]]
) -> Iterator[Sequence[int]]:
    images: Counter[int] = Counter()
    only_group: dict[int, int | None] = {}
    for index, group in enumerate(groups):
        found = Counter(number for image in group for number in classes[image])
        images.update(found)
        for number in found:
            only_group[number] = None if number in only_group else index
    alone: dict[int, set[int]] = defaultdict(set)
    for number, holder in only_group.items():
        if holder is not None and images[number] > 1:
            alone[holder].add(number)
    for index, group in enumerate(groups):
        if index in alone or len(groups) == 1:
            yield from _cut(group, alone[index], classes)
        else:
            yield group


def _cut(
    group: Sequence[int], alone: set[int], classes: Sequence[tuple[int, ...]]
) -> Iterator[Sequence[int]]:
    """Halve a group until every class of `alone` is in two parts."""
    middle = len(group) // 2
    halves = (group[:middle], group[middle:])
    found = [{number for image in half for number in classes[image]} & alone for half in halves]
    for half, inside, outside in zip(halves, found, reversed(found), strict=True):
        still_alone = inside - outside
        if still_alone:
            yield from _cut(half, still_alone, classes)
        else:
            yield half


class _Division:
    """The state of one division: where each unit is, and what each split still lacks."""

    def __init__(self, units: Sequence[Unit], sizes: Mapping[Split, int]) -> None:
        self._units = units
        self._sizes = sizes
        self._images = sum(unit.size for unit in units)
        self._place: list[Split | None] = [None] * len(units)
        self._room = dict(sizes)
        self._held: dict[Split, Counter[int]] = {split: Counter() for split in sizes}
        self._of_class: Counter[int] = Counter()
        self._units_with: dict[int, list[int]] = defaultdict(list)
        self._seen = [False] * len(units)
        self._seen_images = 0
        self._seen_in: Counter[Split] = Counter()
        self._order = list(range(len(units)))
        random.Random(SEED).shuffle(self._order)  # noqa: S311 -- it decides between equal units
        for index in self._order:
            for number, images in units[index].classes:
                self._of_class[number] += images
                self._units_with[number].append(index)
        self._left = Counter(self._of_class)

    def splits(self) -> list[Split]:
        """Return the split of each unit."""
        return [place for place in self._place if place is not None]

    def cover_classes(self) -> None:
        """Place in val one unit of every class with two or more images, the rarest class first."""
        chosen = []
        for number in sorted(self._of_class, key=lambda number: (self._of_class[number], number)):
            has_several = number != BACKGROUND and self._of_class[number] > 1
            if has_several and not self._held["val"][number]:
                unplaced = (i for i in self._units_with[number] if self._place[i] is None)
                candidates = islice(unplaced, MAX_CANDIDATES)
                chosen.append(min(candidates, key=self._cost_in_val))
                self._put(chosen[-1], "val")
        for index in chosen:
            if self._room["val"] < 0 and self._can_leave("val", index):
                self._take_back(index)

    def _cost_in_val(self, index: int) -> tuple[int, float, int]:
        """Return how many classes train would lose, then how little val would gain."""
        unit, held = self._units[index], self._held["val"]
        real = [(number, images) for number, images in unit.classes if number != BACKGROUND]
        lost = sum(held[number] + images >= self._of_class[number] for number, images in real)
        gained = sum(not held[number] and self._of_class[number] > 1 for number, _ in real)
        return lost, -gained / unit.size, unit.size

    def distribute(self) -> None:
        """Place all other units: the class with the fewest images left first."""
        heap = [(images, number) for number, images in self._left.items() if images]
        heapify(heap)
        while heap:
            images, number = heappop(heap)
            if images != self._left[number]:
                continue
            touched: set[int] = set()
            batch = [index for index in self._units_with[number] if not self._seen[index]]
            behind = {split: self._behind(split) for split in self._sizes}
            for index in sorted(batch, key=lambda index: -self._units[index].size):
                if self._place[index] is None:
                    self._put(index, self._split_for(number, index, behind))
                self._note_seen(index)
                touched.update(other for other, _ in self._units[index].classes)
            for other in touched:
                if self._left[other]:
                    heappush(heap, (self._left[other], other))

    def _note_seen(self, index: int) -> None:
        split, size = self._place[index], self._units[index].size
        self._seen[index] = True
        self._seen_images += size
        if split is not None:
            self._seen_in[split] += size

    def _behind(self, split: Split) -> float:
        """Return how many images a split has less than its share of the classes so far."""
        return self._sizes[split] * self._seen_images / self._images - self._seen_in[split]

    def _split_for(self, number: int, index: int, behind: Mapping[Split, float]) -> Split:
        """Return the split that lacks most of a class.

        A split that was behind its size before this class counts as if it lacked up to half a unit
        more: otherwise the fractions of many small classes would add up to wrong sizes.
        """
        size = self._units[index].size
        if self._is_last_chance_of_train(number, index):
            return "train"

        def need(split: Split) -> tuple[float, int]:
            carried = min(max(behind[split], -size / 2), size / 2)
            return self._lacks(split, number) + carried, self._room[split]

        return max(self._sizes, key=need)

    def _is_last_chance_of_train(self, number: int, index: int) -> bool:
        return (
            number != BACKGROUND
            and not self._held["train"][number]
            and self._left[number] == dict(self._units[index].classes)[number]
        )

    def _lacks(self, split: Split, number: int) -> float:
        """Return how many images of a class a split should get, without those that it has."""
        images = self._of_class[number]
        wanted = images * self._sizes[split] / self._images
        if number != BACKGROUND and split != "test":
            wanted = max(1.0, wanted) if images > 1 else float(split == "train")
        return wanted - self._held[split][number]

    def settle_sizes(self) -> None:
        """Move units from splits that have too many images to those that have too few."""
        for split in self._sizes:
            for other in self._sizes:
                if self._room[split] < 0 < self._room[other]:
                    self._move(split, other)

    def _move(self, split: Split, other: Split) -> None:
        inside = [index for index in self._order if self._place[index] == split]
        for index in sorted(inside, key=lambda index: self._cost_of_move(index, split, other)):
            size = self._units[index].size
            gap = min(-self._room[split], self._room[other])
            is_all = size == self._sizes[split] - self._room[split]
            if size < 2 * gap and not is_all and self._can_leave(split, index):
                self._take_back(index)
                self._put(index, other)

    def fill_empty_splits(self) -> None:
        """Give train and val a unit each if every unit is so large that they got none."""
        for split in NEVER_EMPTY:
            if self._room[split] == self._sizes[split]:
                units_in = Counter(self._place)
                spare = [
                    index
                    for index in self._order
                    if self._place[index] == "test" or units_in[self._place[index]] > 1
                ]
                index = min(spare, key=self._cost_of_leaving)
                self._take_back(index)
                self._put(index, split)

    def _cost_of_leaving(self, index: int) -> tuple[bool, int]:
        place = self._place[index]
        is_needed = place is not None and not self._can_leave(place, index)
        return is_needed, self._units[index].size

    def _cost_of_move(self, index: int, split: Split, other: Split) -> tuple[int, int, float]:
        unit = self._units[index]
        gap = min(-self._room[split], self._room[other])
        single = sum(self._of_class[number] == 1 for number, _ in unit.classes)
        lost = sum(
            self._lacks(split, number) - self._lacks(other, number) for number, _ in unit.classes
        )
        return single if split == "train" else -single, max(0, unit.size - gap), lost

    def _can_leave(self, split: Split, index: int) -> bool:
        """Return whether a split keeps its classes of two or more images without this unit."""
        return split == "test" or all(
            number == BACKGROUND
            or self._of_class[number] == 1
            or self._held[split][number] > images
            for number, images in self._units[index].classes
        )

    def _put(self, index: int, split: Split) -> None:
        self._place[index] = split
        self._count(self._units[index], split, 1)

    def _take_back(self, index: int) -> None:
        split = self._place[index]
        if split is not None:
            self._place[index] = None
            self._count(self._units[index], split, -1)

    def _count(self, unit: Unit, split: Split, sign: int) -> None:
        self._room[split] -= sign * unit.size
        for number, images in unit.classes:
            self._held[split][number] += sign * images
            self._left[number] -= sign * images
