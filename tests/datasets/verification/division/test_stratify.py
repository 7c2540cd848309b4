"""Every split gets its share of every class, and val has every class that has two images."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.reports.report import Split, SplitShares
from app.datasets.verification.division.stratify import divide, sizes_of, units_of

Classes = Sequence[tuple[int, ...]]

CLASSES = st.lists(
    st.sets(st.integers(0, 9), max_size=4).map(lambda found: tuple(sorted(found))),
    min_size=2,
    max_size=60,
)
SHARES = st.sampled_from(
    [
        SplitShares(),
        SplitShares(train=0.5, val=0.5),
        SplitShares(train=0.7, val=0.2, test=0.1),
        SplitShares(train=0.1, val=0.1, test=0.8),
    ]
)


def places(
    classes: Classes,
    groups: Sequence[Sequence[int]] | None = None,
    shares: SplitShares | None = None,
) -> list[Split]:
    """Return the split of each image; without `groups`, no image looks like another one."""
    units = units_of(groups or [[image] for image in range(len(classes))], classes)
    splits = divide(units, sizes_of(len(classes), shares or SplitShares()))
    found = {
        image: split for unit, split in zip(units, splits, strict=True) for image in unit.images
    }
    assert len(found) == sum(len(unit.images) for unit in units) == len(classes)
    return [found[image] for image in range(len(classes))]


def images_with(classes: Classes, split_of: Sequence[Split], split: Split) -> Counter[int]:
    return Counter(
        number
        for found, place in zip(classes, split_of, strict=True)
        if place == split
        for number in found
    )


def all_images(classes: Classes) -> Counter[int]:
    return Counter(number for found in classes for number in found)


def missed(classes: Classes, split_of: Sequence[Split]) -> set[int]:
    """Return the classes of two or more images that are not in val."""
    in_val = images_with(classes, split_of, "val")
    return {number for number, count in all_images(classes).items() if count > 1} - in_val.keys()


def keeps_its_classes(classes: Classes, split_of: Sequence[Split], image: int) -> bool:
    """Return whether a split without this image has the same classes of two or more images."""
    total = all_images(classes)
    held = images_with(classes, split_of, split_of[image])
    return all(held[number] > 1 or total[number] == 1 for number in classes[image])


def many_classes(seed: int, images: int = 400, classes: int = 40) -> Classes:
    """Return images of several classes, of which most are rare, as in photographs of streets."""
    chance = random.Random(seed)
    weights = [1 / (number + 1) for number in range(classes)]
    return [
        tuple(sorted(set(chance.choices(range(classes), weights, k=chance.randint(0, 5)))))
        for _ in range(images)
    ]


class TestSizes:
    @pytest.mark.parametrize(
        ("images", "sizes"),
        [
            (2, {"train": 1, "val": 1}),
            (3, {"train": 2, "val": 1}),
            (8, {"train": 6, "val": 2}),
            (10, {"train": 8, "val": 2}),
            (1000, {"train": 800, "val": 200}),
        ],
    )
    def test_a_fifth_is_val(self, images: int, sizes: dict[Split, int]) -> None:
        assert sizes_of(images, SplitShares()) == sizes

    @settings(max_examples=30)
    @given(images=st.integers(2, 500), shares=SHARES)
    def test_every_split_with_a_share_has_images(self, images: int, shares: SplitShares) -> None:
        sizes = sizes_of(images, shares)

        assert sum(sizes.values()) == images
        assert min(sizes.values()) >= 1
        assert ("test" in sizes) == (shares.test > 0 and images > 2)


class TestDivision:
    @settings(max_examples=50)
    @given(classes=CLASSES, shares=SHARES)
    def test_every_class_of_two_images_is_in_val(
        self, classes: Classes, shares: SplitShares
    ) -> None:
        split_of = places(classes, shares=shares)

        assert missed(classes, split_of) == set()
        assert {"train", "val"} <= set(split_of)

    @settings(max_examples=50)
    @given(classes=CLASSES)
    def test_val_has_another_size_only_for_its_classes_and_those_of_train(
        self, classes: Classes
    ) -> None:
        split_of = places(classes)

        more = split_of.count("val") - sizes_of(len(classes), SplitShares())["val"]
        larger: Split = "val" if more > 0 else "train"
        inside = [image for image, split in enumerate(split_of) if split == larger]
        assert more == 0 or not any(keeps_its_classes(classes, split_of, at) for at in inside)

    def test_six_images_of_two_classes_give_two_to_val(self) -> None:
        split_of = places([(0,)] * 3 + [(1,)] * 3)

        assert (split_of.count("train"), split_of.count("val")) == (4, 2)

    def test_fractions_of_many_small_classes_do_not_add_up(self) -> None:
        classes: Classes = [(number % 100,) for number in range(700)]

        split_of = places(classes)

        assert split_of.count("val") == 140
        assert set(images_with(classes, split_of, "val").values()) == {1, 2}

    def test_images_without_an_object_are_in_both_splits(self) -> None:
        classes: Classes = [(0,)] * 50 + [()] * 50

        split_of = places(classes)

        assert (split_of[:50].count("val"), split_of[50:].count("val")) == (10, 10)

    def test_a_class_of_one_image_is_learned_rather_than_judged(self) -> None:
        split_of = places([(0,)] * 30 + [(1,)])

        assert split_of[-1] == "train"

    def test_classes_are_closer_to_their_shares_than_by_chance(self) -> None:
        apart: Counter[str] = Counter()
        for seed in range(5):
            classes = many_classes(seed)
            total = all_images(classes)
            ways: dict[str, list[Split]] = {"stratified": places(classes)}
            ways["by chance"] = list(ways["stratified"])
            random.Random(seed).shuffle(ways["by chance"])
            for way, split_of in ways.items():
                held = images_with(classes, split_of, "val")
                apart[way] += round(sum(abs(held[n] - total[n] / 5) for n in total))
                apart[f"{way}, missed"] += len(missed(classes, split_of))

        assert apart["stratified"] < apart["by chance"] / 2
        assert apart["stratified, missed"] == 0 < apart["by chance, missed"]

    def test_test_gets_its_share_of_every_class(self) -> None:
        classes: Classes = [(number % 5,) for number in range(500)]

        split_of = places(classes, shares=SplitShares(train=0.7, val=0.2, test=0.1))

        assert images_with(classes, split_of, "val") == dict.fromkeys(range(5), 20)
        assert images_with(classes, split_of, "test") == dict.fromkeys(range(5), 10)


class TestGroups:
    @settings(max_examples=30)
    @given(classes=CLASSES, size=st.integers(2, 4))
    def test_val_has_every_class_though_images_stay_together(
        self, classes: Classes, size: int
    ) -> None:
        groups = [range(len(classes))[at : at + size] for at in range(0, len(classes), size)]

        split_of = places(classes, groups)

        assert missed(classes, split_of) == set()
        assert {"train", "val"} <= set(split_of)

    def test_val_gets_a_group_though_every_group_is_larger(self) -> None:
        split_of = places([(0,), (1,), (), ()], [[0, 1], [2, 3]])

        assert split_of.count("val") == 2

    def test_groups_stay_together_if_others_have_their_classes(self) -> None:
        classes: Classes = [(image // 4 % 3,) for image in range(120)]

        split_of = places(classes, [range(at, at + 4) for at in range(0, 120, 4)])

        assert all(len(set(split_of[at : at + 4])) == 1 for at in range(0, 120, 4))
        assert split_of.count("val") == 24

    def test_a_group_with_all_images_of_a_class_is_cut(self) -> None:
        classes: Classes = [(0,)] * 20 + [(1,)] * 4

        split_of = places(classes, [*([image] for image in range(20)), range(20, 24)])

        assert set(split_of[20:]) == {"train", "val"}
