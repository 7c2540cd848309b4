"""Near-equal images are found by their hashes, at a cost that does not depend on their looks."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.datasets.reports.report import Limits
from app.datasets.verification.division.near_equal import (
    MAX_DISTANCE,
    image_hash,
    near_equal_groups,
)
from tests.datasets.albums import a_copy, a_photograph, a_scene
from tests.datasets.builders import encoded

HASHES = st.integers(0, 2**64 - 1)


def hashed(content: bytes) -> int:
    value = image_hash(content, Limits())
    assert value is not None
    return value


def distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def with_flipped(value: int, bits: list[int]) -> int:
    for bit in bits:
        value ^= 1 << bit
    return value


def group_of(position: int, groups: list[list[int]]) -> list[int]:
    return next(group for group in groups if position in group)


class TestHash:
    @pytest.mark.parametrize("brightness", [0.8, 1.1])
    def test_a_smaller_copy_with_another_brightness_is_near_equal(self, brightness: float) -> None:
        distances = [
            distance(hashed(a_photograph(number)), hashed(a_copy(number, brightness)))
            for number in range(20)
        ]

        assert max(distances) <= MAX_DISTANCE

    def test_different_pictures_are_not_near_equal(self) -> None:
        values = [hashed(a_photograph(number)) for number in range(20)]

        assert min(distance(*pair) for pair in combinations(values, 2)) > 2 * MAX_DISTANCE

    def test_sixteen_bits_are_not_cut_at_255(self) -> None:
        gray = np.asarray(a_scene(0).convert("L"), dtype=np.uint16)
        deep = encoded(Image.fromarray(gray * 256 + 300))

        assert distance(hashed(deep), hashed(encoded(a_scene(0)))) <= MAX_DISTANCE

    @pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "TIFF"])
    def test_every_format_gives_nearly_the_same_hash(self, kind: str) -> None:
        found = hashed(encoded(a_scene(0), kind))

        assert distance(found, hashed(a_photograph(0))) <= MAX_DISTANCE

    @pytest.mark.parametrize(
        "content", [b"", b"<html>", a_photograph(0)[:700], encoded(a_scene(0))[:700]]
    )
    def test_a_file_that_cannot_be_decoded_has_no_hash(self, content: bytes) -> None:
        assert image_hash(content, Limits()) is None

    def test_an_image_of_too_many_pixels_is_not_decoded(self) -> None:
        assert image_hash(a_photograph(0), Limits(max_image_pixels=90 * 80 - 1)) is None


class TestGroups:
    def test_there_may_be_no_hashes(self) -> None:
        assert near_equal_groups([], largest=2, run=2) == []

    @settings(max_examples=30)
    @given(
        values=st.lists(HASHES, min_size=1, max_size=12),
        flips=st.lists(
            st.tuples(st.integers(0, 11), st.lists(st.integers(0, 63), max_size=8)), max_size=12
        ),
    )
    def test_groups_are_those_of_a_comparison_of_all_pairs(
        self, values: list[int], flips: list[tuple[int, list[int]]]
    ) -> None:
        hashes = values + [with_flipped(values[at % len(values)], bits) for at, bits in flips]
        expected = [{position} for position in range(len(hashes))]
        for one, other in combinations(range(len(hashes)), 2):
            if distance(hashes[one], hashes[other]) <= MAX_DISTANCE:
                joined = expected[one] | expected[other]
                for position in joined:
                    expected[position] = joined

        groups = near_equal_groups(hashes, largest=len(hashes), run=2)

        assert sorted(sorted(group) for group in groups) == sorted(
            {tuple(sorted(group)): sorted(group) for group in expected}.values()
        )

    def test_the_frames_of_a_long_video_become_runs_of_consecutive_frames(self) -> None:
        chain = [(1 << frame) - 1 for frame in range(64)]

        groups = near_equal_groups(chain, largest=20, run=10)

        assert [len(group) for group in groups] == [10, 10, 10, 10, 10, 10, 4]
        assert all(group == list(range(group[0], group[-1] + 1)) for group in groups)

    def test_equal_frames_of_a_long_video_stay_together(self) -> None:
        chain = [(1 << frame) - 1 for frame in range(30)]

        groups = near_equal_groups(chain + chain, largest=20, run=9)

        assert all(position + 30 in group_of(position, groups) for position in range(30))
        assert max(len(group) for group in groups) <= 9

    def test_images_that_all_have_one_hash_become_runs(self) -> None:
        groups = near_equal_groups([7] * 1000, largest=300, run=50)

        assert [len(group) for group in groups] == [50] * 20
