"""The images that are shown are few, the same every time, and of every class and split."""

from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.reports.report import Split
from app.datasets.verification.overview.choice import MAX_CLASSES, MAX_SAMPLES, Choice

Image = tuple[Split, frozenset[int]]


def chosen(images: list[Image], *, classes: int) -> set[int]:
    splits = list(dict.fromkeys(split for split, _ in images))
    choice = Choice(splits, classes)
    held: set[int] = set()
    for number, (split, shown) in enumerate(images):
        is_shown, gone = choice.offer(number, f"{split}/{number}.jpg", split, shown, len(shown))
        held -= set(gone)
        held |= {number} if is_shown else set()
    return held


def many(count: int, *, classes: int, split: Split = "train") -> list[Image]:
    return [(split, frozenset({number % classes})) for number in range(count)]


class TestChoice:
    def test_all_images_of_a_small_set_are_shown(self) -> None:
        assert chosen(many(30, classes=3), classes=3) == set(range(30))

    def test_a_large_set_is_shown_in_part_and_the_same_every_time(self) -> None:
        images = [*many(3000, classes=3), *many(600, classes=3, split="val")]

        first, second = chosen(images, classes=3), chosen(images, classes=3)

        assert first == second
        assert 6 * 24 <= len(first) <= MAX_SAMPLES

    def test_the_images_with_the_most_objects_are_shown(self) -> None:
        images = many(2000, classes=4)
        images[1500] = ("train", frozenset(range(4)))

        assert 1500 in chosen(images, classes=4)

    def test_images_without_an_object_are_shown(self) -> None:
        images = many(2000, classes=4)
        images[777] = ("train", frozenset())

        assert 777 in chosen(images, classes=4)

    def test_every_one_of_a_thousand_classes_is_shown(self) -> None:
        images = many(5000, classes=MAX_CLASSES)

        shown = {number % MAX_CLASSES for number in chosen(images, classes=MAX_CLASSES)}

        assert shown == set(range(MAX_CLASSES))

    def test_the_number_of_shown_images_is_bounded_for_any_number_of_classes(self) -> None:
        assert len(chosen(many(9000, classes=30_000), classes=30_000)) <= MAX_CLASSES + 24

    @settings(max_examples=30)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["train", "val"]), st.frozensets(st.integers(0, 9), max_size=4)
            ),
            min_size=1,
            max_size=200,
        )
    )
    def test_every_class_of_a_split_is_shown(self, images: list[Image]) -> None:
        held = chosen(images, classes=10)

        def of_splits(numbers: set[int]) -> set[tuple[Split, int]]:
            return {(images[at][0], number) for at in numbers for number in images[at][1]}

        assert of_splits(held) == of_splits(set(range(len(images))))
